"""How a step's failure crosses the engine: as an application error whose type is our reason, with what the step did as its detail."""

import uuid

import structlog
from temporalio.converter import value_to_type
from temporalio.exceptions import ActivityError, ApplicationError, ApplicationErrorCategory, TimeoutError, TimeoutType  # noqa: A004 - the engine's own

from common.errors import ConvergenceError, ObjectExists, ObjectNotFound, PreconditionLost, Transient, Unavailable
from pipeline_service.run import RunError
from pipeline_service.step_result import StepResult

_log = structlog.get_logger(__name__)


class StepFailed(ConvergenceError):
    """A step failed for good. `reason` is a name of ErrorReason."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def as_run_error(error: BaseException) -> RunError:
    """What a run or a record says of an error. One that nobody foresaw gets an id that the log has, never its own text."""
    match error:
        case Transient() | Unavailable():
            return RunError("DEPENDENCY_UNAVAILABLE", "The warehouse was away or busy")
        case ObjectNotFound() | ObjectExists() | PreconditionLost():
            return RunError("STATEMENT_FAILED", error.message)
        case ConvergenceError():
            return RunError(error.reason, error.message)
        case _:
            error_id = uuid.uuid4().hex
            _log.error("unforeseen error", error_id=error_id, exc_info=error)
            return RunError("INTERNAL", f"An internal error occurred; the log has it as {error_id}")


def as_application_error(error: BaseException, described: RunError, result: StepResult) -> ApplicationError:
    """The error for the engine, which repeats the activity only for what may pass."""
    return ApplicationError(
        described.message,
        result,
        type=described.reason,
        category=ApplicationErrorCategory.BENIGN,  # told of once, by us and without a trace
        non_retryable=not isinstance(error, Transient | Unavailable),
    )


def failure_of(error: ActivityError, step_id: str) -> tuple[RunError, StepResult]:
    """What the workflow makes of a failed activity."""
    cause = error.cause
    if isinstance(cause, ApplicationError):
        result = value_to_type(StepResult, cause.details[0]) if cause.details else StepResult()
        return RunError(cause.type or "INTERNAL", cause.message, step_id), result
    if isinstance(cause, TimeoutError) and cause.type is not TimeoutType.HEARTBEAT:
        return RunError("STEP_TIMEOUT", "The step ran longer than its timeout", step_id), StepResult()
    return RunError("INTERNAL", "The step's worker was lost on every attempt", step_id), StepResult()
