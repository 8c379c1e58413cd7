"""How a call ends: what the log and the metrics say of it, by one reckoning."""

from dataclasses import dataclass

import grpc

from common.errors import ConvergenceError
from common.rpc.around import Context
from common.rpc.status import status_code


@dataclass(frozen=True, slots=True)
class CallEnd:
    """The status, and of a refused call its reason and which limit it is that it went beyond, where the refusal names one."""

    status: grpc.StatusCode = grpc.StatusCode.OK
    reason: str | None = None
    limit: str | None = None


DONE = CallEnd()
"""The end of a call that raises nothing."""


def end_by(error: BaseException, context: Context) -> CallEnd:
    """The end of a call that raised this."""
    if not isinstance(error, Exception):
        return CallEnd(_given_up(context))
    status = status_code(error)
    if isinstance(error, ConvergenceError) and status is not grpc.StatusCode.INTERNAL:
        return CallEnd(status, error.reason, error.metadata.get("limit"))
    return CallEnd(status)


def _given_up(context: Context) -> grpc.StatusCode:
    """How a call ended that its caller waits for no more: by its deadline, or because the caller went away."""
    remaining = context.time_remaining()
    over = remaining is not None and remaining <= 0
    return grpc.StatusCode.DEADLINE_EXCEEDED if over else grpc.StatusCode.CANCELLED
