"""One structured log line per call, tied together by a correlation id. Never a payload or a secret.

The line says `method`, `status`, `duration_ms`, `correlation_id`, of a refused call its `reason`, of one that belongs to a trace its
`trace_id`, and once the key is known its id, as `principal`, and its `tenant_id`.
"""

import re
import secrets
import time

import structlog

from common.rpc.access import is_open
from common.rpc.around import Call, Handle
from common.rpc.call_end import DONE, end_by
from common.rpc.caller import current_caller
from common.rpc.metadata import metadata_value, trace_headers
from common.telemetry.telemetry import current_trace_id, trace_id_in

CORRELATION_ID_KEY = "x-correlation-id"
_CORRELATION_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)

_log = structlog.get_logger(__name__)


def logged(method: str, inner: Handle) -> Handle:
    """Accept or create the correlation id, send it back as trailing metadata, and log the call when it has ended."""
    log = _log.debug if is_open(method) else _log.info

    async def handle(call: Call) -> bytes | None:
        given = metadata_value(call, CORRELATION_ID_KEY)
        correlation_id = given if given and _CORRELATION_ID.fullmatch(given) else secrets.token_hex(16)
        structlog.contextvars.bind_contextvars(correlation_id=correlation_id, **_trace(call))
        call.context.set_trailing_metadata(((CORRELATION_ID_KEY, correlation_id),))
        start = time.perf_counter()
        end = DONE
        try:
            return await inner(call)
        except BaseException as error:
            end = end_by(error, call.context)
            raise
        finally:
            duration_ms = round((time.perf_counter() - start) * 1000, 3)
            reason = {"reason": end.reason} if end.reason is not None else {}
            log("call", method=method, status=end.status.name, duration_ms=duration_ms, **reason, **_who())

    return handle


def correlation_metadata() -> tuple[tuple[str, str], ...]:
    """Metadata that ties a call of another service to the call that is being handled; empty outside of one."""
    correlation_id = structlog.contextvars.get_contextvars().get("correlation_id")
    return ((CORRELATION_ID_KEY, correlation_id),) if correlation_id else ()


def _trace(call: Call) -> dict[str, str]:
    """The trace that the call belongs to: that of its span or, where none is made here, as its caller says."""
    trace_id = current_trace_id() or trace_id_in(trace_headers(call))
    return {"trace_id": trace_id} if trace_id else {}


def _who() -> dict[str, str | None]:
    try:
        caller = current_caller()
    except LookupError:
        return {}
    return {"principal": caller.principal, "tenant_id": caller.tenant_id}
