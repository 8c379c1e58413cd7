"""One structured log line per call, tied together by a correlation id. Never a payload or a secret.

The line says `method`, `status`, `duration_ms`, `correlation_id`, of a refused call its `reason`, and once the key is known its id, as
`principal`, and its `tenant_id`.
"""

import re
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import structlog

from common.errors import ConvergenceError
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
    status, reason = grpc.StatusCode.OK, {}
    try:
        yield
    except GeneratorExit:  # the caller left a stream before its end
        status = _given_up(context)
        raise
    except Exception as error:
        status = status_code(error)
        if isinstance(error, ConvergenceError) and status is not grpc.StatusCode.INTERNAL:
            reason = {"reason": error.reason}
        raise
    except BaseException:
        status = _given_up(context)
        raise
    finally:
        duration_ms = round((time.perf_counter() - start) * 1000, 3)
        log = _log.debug if service_of(method) in OPEN_SERVICES else _log.info
        log("call", method=method, status=status.name, duration_ms=duration_ms, **reason, **_who())


def correlation_metadata() -> tuple[tuple[str, str], ...]:
    """Metadata that ties a call of another service to the call that is being handled; empty outside of one."""
    correlation_id = structlog.contextvars.get_contextvars().get("correlation_id")
    return ((CORRELATION_ID_KEY, correlation_id),) if correlation_id else ()


def _given_up(context: Context) -> grpc.StatusCode:
    """How a call ended that its caller waits for no more: by its deadline, or because the caller went away."""
    remaining = context.time_remaining()
    over = remaining is not None and remaining <= 0
    return grpc.StatusCode.DEADLINE_EXCEEDED if over else grpc.StatusCode.CANCELLED


def _who() -> dict[str, str | None]:
    try:
        caller = current_caller()
    except LookupError:
        return {}
    return {"principal": caller.principal, "tenant_id": caller.tenant_id}
