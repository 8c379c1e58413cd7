"""How a step's failure crosses the engine: as an application error whose type is our reason, with what the step did as its detail."""

import random
from dataclasses import dataclass
from datetime import timedelta

from temporalio.converter import value_to_type
from temporalio.exceptions import ActivityError, ApplicationError, ApplicationErrorCategory, TimeoutError, TimeoutType  # noqa: A004

from pipeline_service.run import RunError
from pipeline_service.step_result import Billed, StepResult

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
_LOST = "WORKER_LOST"
ATTEMPT_CANCELLED = "ATTEMPT_CANCELLED"
_MORE_BYTES = "MORE_BYTES_WANTED"
NO_FAILURES = frozenset({_LOST, _MORE_BYTES})
"""Types of errors that end an attempt though nothing has failed: the step goes on in another."""


def as_application_error(
    described: RunError, result: StepResult | None = None, *, repeat: bool, attempt: int
) -> ApplicationError:
    """The error for the engine, which repeats the activity if it is told to: after a pause that grows with each `attempt`, and not at the
    moment at which others repeat what failed with it."""
    longest_seconds = min(FIRST_PAUSE_SECONDS * 2 ** (attempt - 1), LONGEST_PAUSE_SECONDS)
    pause_seconds = longest_seconds * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
    return ApplicationError(
        described.message,
        result or StepResult(),
        type=described.reason,
        category=ApplicationErrorCategory.BENIGN,  # told of once, by us and without a trace
        non_retryable=not repeat,
        next_retry_delay=timedelta(seconds=pause_seconds) if repeat else None,
    )


def attempt_given_up() -> ApplicationError:
    """The error of an attempt that ends though its run goes on: another takes over."""
    return ApplicationError("The attempt was given up", type=_LOST, category=ApplicationErrorCategory.BENIGN)


def more_bytes_wanted(result: StepResult) -> ApplicationError:
    """The error of an attempt that ends because what it wants to bill is not reserved: no failure, and never told to a caller."""
    return ApplicationError(
        "More bytes have to be reserved",
        result,
        type=_MORE_BYTES,
        category=ApplicationErrorCategory.BENIGN,
        non_retryable=True,
    )


def attempt_cancelled(result: StepResult) -> ApplicationError:
    """The error of a cancelled attempt that has something to say, of what it billed, or that found out by itself: the engine's own for that
    carries no details. The run, which is being cancelled, takes it for a cancellation."""
    return ApplicationError(
        "The attempt was cancelled",
        result,
        type=ATTEMPT_CANCELLED,
        category=ApplicationErrorCategory.BENIGN,
        non_retryable=True,
    )


@dataclass(frozen=True, slots=True)
class Ended:
    """How an attempt ended that did not succeed: what it had done by then, None where it was lost, whether another may succeed, and after
    which pause."""

    result: StepResult | None
    may_repeat: bool
    pause_seconds: float

    @property
    def billed(self) -> Billed | None:
        """What it told of what it has billed."""
        return self.result.billed if self.result else None


def ended_of(error: ActivityError) -> Ended:
    """What a failed activity says where the workflow makes the attempts, one activity for each."""
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type != _LOST and cause.details:
        pause = cause.next_retry_delay or timedelta(0)
        return Ended(value_to_type(StepResult, cause.details[0]), not cause.non_retryable, pause.total_seconds())
    is_lost = isinstance(cause, ApplicationError) or (
        isinstance(cause, TimeoutError) and cause.type is TimeoutType.HEARTBEAT
    )
    return Ended(None, is_lost, 0.0)


def failure_of(error: ActivityError, step_id: str) -> tuple[RunError, StepResult]:
    """What the workflow makes of a failed activity."""
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type != _LOST:
        result = value_to_type(StepResult, cause.details[0]) if cause.details else StepResult()
        return RunError(cause.type or "INTERNAL", cause.message, step_id), result
    if isinstance(cause, TimeoutError) and cause.type is not TimeoutType.HEARTBEAT:
        return RunError("STEP_TIMEOUT", "The step ran longer than its timeout", step_id), StepResult()
    return RunError("INTERNAL", "The step's worker was lost on every attempt", step_id), StepResult()
