"""The outermost interceptor: turns every exception into a status with details. The only place that aborts a call."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import structlog
from grpc_status import rpc_status

from common.rpc.around import Context
from common.rpc.status import status_code, to_status

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def errors_to_statuses(method: str, context: Context) -> AsyncIterator[None]:
    """Abort the call with the status of whatever the handler raises; log what nobody foresaw under an error id."""
    try:
        yield
    except grpc.aio.AbortError:  # a handler of a library (health, reflection) has aborted by itself
        raise
    except Exception as error:  # noqa: BLE001 - the boundary of the process
        error_id = uuid.uuid4().hex
        if status_code(error) is grpc.StatusCode.INTERNAL:
            _log.error("unforeseen error", method=method, error_id=error_id, exc_info=error)
        status = rpc_status.to_status(to_status(error, error_id=error_id))
        # abort_with_status would drop what is set already, the correlation id.
        metadata = (*(context.trailing_metadata() or ()), *status.trailing_metadata)
        await context.abort(status.code, status.details, metadata)
