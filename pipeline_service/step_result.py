"""What the workflow tells a step's activity and what it hears back. Small: rows never travel through the engine."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from common.templates.resolved import StepType
from pipeline_service.gate_messages import SlotRequest
from pipeline_service.plan import PlanStep, PlanTable
from pipeline_service.run import CheckOutcome, Run, RunError, RunStatus, StepStatus


@dataclass(frozen=True, slots=True)
class RunRef:
    """Which run a step belongs to. Who scheduled the step before `create_time` was told of left it out."""

    pipeline_logging_id: str
    pipeline_id: str
    tenant_id: str
    create_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class StepTask:
    """One step to execute. Where the run has a budget, `funds` says what this attempt, the one with the number `attempt`, may bill, by
    purpose (see steps.funds), and `billed_before` what it read for before it asked for these; None where it has none, and the engine
    numbers the attempts. `begins` is the run as it begins, and `left_records` are rows of the steps before, to be recorded beside the step;
    `closes` is the run to be ended with it. Each is None or empty where that is not this step's to do. `leaves_record` says that the row of
    its success is left to the step that follows."""

    run: RunRef
    step: PlanStep
    attempt: int | None = None
    funds: Mapping[str, int] | None = None
    billed_before: int = 0
    begins: Run | None = None
    closes: "Closing | None" = None
    left_records: "tuple[AttemptRecord, ...]" = ()
    leaves_record: bool = False


@dataclass(frozen=True, slots=True)
class WantedBytes:
    """What statements may bill; with `is_open` that is only the least, and how much more nobody knows."""

    least: int
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Billed:
    """What an attempt has billed of its funds, by purpose: what its reads may have billed, and what its jobs that ended have. Of those in
    `unsure` it has not seen the end."""

    bytes: Mapping[str, int] = field(default_factory=dict)
    unsure: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step did, also when it failed: counts, the outcomes of its checks, the jobs that staged and published, and the price of a TiB
    in decimal text; where the run has a budget, what it has billed of its funds, and what it wants more; and, where this step was to do
    that, whether it is known that the run is recorded to have begun, when it ended (ISO 8601), empty where that is not recorded, and
    whether it has given its slot back; whether the rows that were left to it are known to be added; and, where it leaves its own, when the
    attempt began and ended (ISO 8601). Only what JSON has: the detail of a failure is read without our converter."""

    attempts: int = 0
    rows_staged: int = 0
    rows_written: int = 0
    bytes_processed: int = 0
    bytes_billed: int = 0
    checks: tuple[CheckOutcome, ...] = ()
    stage_job_id: str = ""
    publish_job_id: str = ""
    price_per_tib_usd: str = ""
    billed: Billed = field(default_factory=Billed)
    wanted: Mapping[str, WantedBytes] = field(default_factory=dict)
    has_begun_run: bool = False
    run_end_time: str = ""
    has_left: bool = False
    has_recorded_left: bool = False
    left_times: tuple[str, str] | None = None

    def with_beside(self, *, is_written: bool) -> "StepResult":
        """The result of a step beside which it is known that what it was to record there is written."""
        return replace(self, has_begun_run=is_written, has_recorded_left=is_written)

    def step_fields(self) -> Mapping[str, Any]:
        """What of it a run shows of its step."""
        return {
            "attempts": self.attempts,
            "rows_written": self.rows_written,
            "bytes_processed": self.bytes_processed,
            "bytes_billed": self.bytes_billed,
            "checks": self.checks,
            "rows_staged": self.rows_staged,
            "stage_job_id": self.stage_job_id,
            "publish_job_id": self.publish_job_id,
            "price_per_tib_usd": self.price_per_tib_usd,
        }


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """What the row of an attempt at a step says. `destination` is None where the step publishes nothing, `error` where it succeeded."""

    step_id: str
    step_type: StepType
    destination: PlanTable | None
    result: StepResult
    start_time: datetime
    end_time: datetime
    error: RunError | None = None

    @classmethod
    def of(
        cls,
        step: PlanStep,
        result: StepResult,
        *,
        start_time: datetime,
        end_time: datetime,
        error: RunError | None = None,
    ) -> "AttemptRecord":
        """What an attempt at the step did, when it began and ended, and how it failed."""
        destination = step.published.destination if step.published else None
        return cls(step.step_id, step.type, destination, result, start_time, end_time, error)

    @classmethod
    def left_by(cls, step: PlanStep, result: StepResult) -> "AttemptRecord | None":
        """What a step that has succeeded leaves to the one that follows; None where its row is added."""
        if result.left_times is None:
            return None
        start_time, end_time = map(datetime.fromisoformat, result.left_times)
        # Without what the row does not say: a run of many checks would carry it through its history.
        return cls.of(step, replace(result, left_times=None, checks=()), start_time=start_time, end_time=end_time)

    def left_in(self, result: StepResult) -> StepResult:
        """The result, with what `left_by` needs to make this of it."""
        return replace(result, left_times=(self.start_time.isoformat(), self.end_time.isoformat()))


@dataclass(frozen=True, slots=True)
class Closing:
    """A run that ends with the success of the step that is under way, all others being over: as it is meanwhile, and what it holds of its
    gate."""

    run: Run
    asking: SlotRequest

    def ended(self, step_id: str, result: StepResult) -> Run:
        """The run as it ended with what the step did, which says when."""
        end_time = datetime.fromisoformat(result.run_end_time)
        state = self.run.state.with_step(step_id, status=StepStatus.COMPLETE, end_time=end_time, **result.step_fields())
        return replace(self.run, state=replace(state, status=RunStatus.COMPLETE, end_time=end_time))


@dataclass(frozen=True, slots=True)
class NewestRow:
    """When the newest row that a step is about to read came into its source, None where nobody knows, and what finding out has billed."""

    time: datetime | None
    billed: Billed


@dataclass(frozen=True, slots=True)
class StepDecision:
    """Whether a step's condition holds, and what asking it has billed."""

    holds: bool
    billed: Billed
