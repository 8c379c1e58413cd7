"""Why a step fails, and what a run and its records say of it."""

import uuid

import structlog

from common.errors import ConvergenceError, ObjectExists, ObjectNotFound, PreconditionLost, Transient, Unavailable
from pipeline_service.run import RunError

_log = structlog.get_logger(__name__)


class StepFailed(ConvergenceError):
    """A step failed for good. `reason` is a name of ErrorReason."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def may_pass(error: BaseException) -> bool:
    """Whether another attempt may succeed, however long that takes."""
    return isinstance(error, Transient | Unavailable)


def may_pass_soon(error: BaseException) -> bool:
    """Whether another attempt may succeed before anybody has lost patience."""
    return may_pass(error) and not (isinstance(error, Transient) and error.lasts)


def as_run_error(error: BaseException) -> RunError:
    """What a run or a record says of an error. One that nobody foresaw gets an id that the log has, never its own text."""
    match error:
        case Transient():
            message = error.message if error.lasts else "The warehouse was away or busy"
            return RunError("DEPENDENCY_UNAVAILABLE", message)
        case ObjectNotFound() | ObjectExists() | PreconditionLost():
            return RunError("STATEMENT_FAILED", error.message)
        case ConvergenceError():
            return RunError(error.reason, error.message)
        case _:
            error_id = uuid.uuid4().hex
            _log.error("unforeseen error", error_id=error_id, exc_info=error)
            return RunError("INTERNAL", f"An internal error occurred; the log has it as {error_id}")
