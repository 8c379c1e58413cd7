"""One structured log line per call, tied together by a correlation id. Never a payload or a secret."""

import re
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import structlog

from common.rpc.access import OPEN_SERVICES, service_of
from common.rpc.around import Context
from common.rpc.caller import current_caller
from common.rpc.metadata import metadata_value
from common.rpc.status import status_code

CORRELATION_ID_KEY = "x-correlation-id"
_CORRELATION_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def logged(method: str, context: Context) -> AsyncIterator[None]:
    """Accept or create the correlation id, send it back as trailing metadata, and log the call when it has ended."""
    given = metadata_value(context, CORRELATION_ID_KEY)
    correlation_id = given if given and _CORRELATION_ID.fullmatch(given) else uuid.uuid4().hex
    structlog.contextvars.bind_contextvars(correlation_id=correlation_id)
    context.set_trailing_metadata(((CORRELATION_ID_KEY, correlation_id),))
    start = time.perf_counter()
    status = grpc.StatusCode.OK
    try:
        yield
    except GeneratorExit:  # the caller left a stream before its end
        status = grpc.StatusCode.CANCELLED
        raise
    except BaseException as error:
        status = status_code(error) if isinstance(error, Exception) else grpc.StatusCode.CANCELLED
        raise
    finally:
        duration_ms = round((time.perf_counter() - start) * 1000, 3)
        log = _log.debug if service_of(method) in OPEN_SERVICES else _log.info
        log("call", method=method, status=status.name, duration_ms=duration_ms, **_who())


def _who() -> dict[str, str | None]:
    try:
        caller = current_caller()
    except LookupError:
        return {}
    return {"principal": caller.principal, "tenant_id": caller.tenant_id}
