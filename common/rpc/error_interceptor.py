"""The outermost layer: turns every exception into a status with details. The only place that aborts a call."""

import uuid
from typing import NoReturn

import grpc
import structlog
from grpc_status import rpc_status

from common.rpc.around import Call, Context, Handle
from common.rpc.status import status_code, to_status

_log = structlog.get_logger(__name__)


def errors_to_statuses(method: str, inner: Handle) -> Handle:
    """Abort the call with the status of whatever the handler raises; log what nobody foresaw under an error id."""

    async def handle(call: Call) -> bytes | None:
        try:
            return await inner(call)
        except grpc.aio.AbortError:  # a handler of a library (health, reflection) has aborted by itself
            raise
        except Exception as error:  # noqa: BLE001 - the boundary of the process
            await _abort(method, call.context, error)

    return handle


async def _abort(method: str, context: Context, error: Exception) -> NoReturn:
    error_id = uuid.uuid4().hex
    if status_code(error) is grpc.StatusCode.INTERNAL:
        _log.error("unforeseen error", method=method, error_id=error_id, exc_info=error)
    status = rpc_status.to_status(to_status(error, error_id=error_id))
    # abort_with_status would drop what is set already, the correlation id.
    metadata = (*(context.trailing_metadata() or ()), *status.trailing_metadata)
    await context.abort(status.code, status.details, metadata)
