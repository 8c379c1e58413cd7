"""How a call ends: what the log and the metrics say of it, by one reckoning."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import grpc

from common.errors import ConvergenceError
from common.rpc.around import Context
from common.rpc.status import status_code


@dataclass(slots=True)
class CallEnd:
    """The status, and of a refused call its reason and which limit it is that it went beyond, where the refusal names one."""

    status: grpc.StatusCode = grpc.StatusCode.OK
    reason: str | None = None
    limit: str | None = None


@contextmanager
def noted_end(context: Context) -> Iterator[CallEnd]:
    """Runs around a call; what it gives is set once the block has ended."""
    end = CallEnd()
    try:
        yield end
    except GeneratorExit:  # the caller left a stream before its end
        end.status = _given_up(context)
        raise
    except Exception as error:
        end.status = status_code(error)
        if isinstance(error, ConvergenceError) and end.status is not grpc.StatusCode.INTERNAL:
            end.reason = error.reason
            end.limit = error.metadata.get("limit")
        raise
    except BaseException:
        end.status = _given_up(context)
        raise


def _given_up(context: Context) -> grpc.StatusCode:
    """How a call ended that its caller waits for no more: by its deadline, or because the caller went away."""
    remaining = context.time_remaining()
    over = remaining is not None and remaining <= 0
    return grpc.StatusCode.DEADLINE_EXCEEDED if over else grpc.StatusCode.CANCELLED
