"""What the workflow tells a step's activity and what it hears back. Small: rows never travel through the engine."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from pipeline_service.gate_messages import SlotRequest
from pipeline_service.plan import PlanStep
from pipeline_service.run import CheckOutcome, Run, RunStatus, StepStatus


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
    numbers the attempts. `begins` is the run as it begins, to be recorded beside the step, `closes` the run to be ended with it; each None
    where that is not this step's to do."""

    run: RunRef
    step: PlanStep
    attempt: int | None = None
    funds: Mapping[str, int] | None = None
    billed_before: int = 0
    begins: Run | None = None
    closes: "Closing | None" = None


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
    whether it has given its slot back. Only what JSON has: the detail of a failure is read without our converter."""

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
