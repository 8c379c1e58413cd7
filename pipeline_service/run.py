"""A run as callers, the engine's memo and the records see it. Plain frozen dataclasses: JSON in, JSON out, nothing of any vendor."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from common.templates.resolved import Severity
from pipeline_service.backfill import Backfill
from pipeline_service.price import Price
from pipeline_service.run_id import workflow_id_for


class RunStatus(StrEnum):
    """Where a run stands. Names as in `Run.Status` of the protos."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_terminal(self) -> bool:
        """Whether the run will never change again."""
        return self in (RunStatus.COMPLETE, RunStatus.FAILED, RunStatus.CANCELLED)


class StepStatus(StrEnum):
    """Where a step stands. Names as in `Step.Status` of the protos."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    SKIPPED = "SKIPPED"

    @property
    def is_terminal(self) -> bool:
        """Whether the step will never change again."""
        return self not in (StepStatus.PENDING, StepStatus.RUNNING)


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """What a check measured: aggregates only, never a row. `observed` and `expected` are empty where there is nothing to say."""

    name: str
    type: str
    severity: Severity
    passed: bool
    failing_rows: int
    observed: str = ""
    expected: str = ""

    @property
    def blocks(self) -> bool:
        """Whether it fails its step."""
        return not self.passed and self.severity == "error"


@dataclass(frozen=True, slots=True)
class RunError:
    """Why a run or a step failed. `reason` is a name of `convergence.errors.v1.ErrorReason`; `step_id` is empty where no single step
    did it."""

    reason: str
    message: str
    step_id: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a run. `destination_table` is empty where it publishes none. What the last attempt took and did: `bytes_billed` at
    `price_per_tib_usd`, in decimal text, empty for steps of earlier releases and those that have not ended; the last jobs that staged
    its rows and published them, empty where it had none. `newest_source_row_time` is as it was before the step read its source; None where
    its template does not ask."""

    step_id: str
    type: str
    status: StepStatus = StepStatus.PENDING
    start_time: datetime | None = None
    end_time: datetime | None = None
    attempts: int = 0
    rows_written: int = 0
    bytes_processed: int = 0
    bytes_billed: int = 0
    destination_table: str = ""
    checks: tuple[CheckOutcome, ...] = ()
    error: RunError | None = None
    rows_staged: int = 0
    stage_job_id: str = ""
    publish_job_id: str = ""
    price_per_tib_usd: str = ""
    newest_source_row_time: datetime | None = None

    @property
    def cost_usd(self) -> Decimal | None:
        """What the step cost at the price of its time; None where that is not known."""
        return Price(Decimal(self.price_per_tib_usd)).of(self.bytes_billed) if self.price_per_tib_usd else None


@dataclass(frozen=True, slots=True)
class RunState:
    """What of a run changes. `version` grows by one with every change. A backfill has days instead of steps; `backfill` is None for any
    other run."""

    steps: tuple[Step, ...]
    version: int = 0
    status: RunStatus = RunStatus.PENDING
    start_time: datetime | None = None
    end_time: datetime | None = None
    error: RunError | None = None
    backfill: Backfill | None = None

    def with_step(self, step_id: str, **fields: Any) -> "RunState":
        """The state with these fields of one step changed."""
        steps = tuple(replace(step, **fields) if step.step_id == step_id else step for step in self.steps)
        return replace(self, steps=steps)


@dataclass(frozen=True, slots=True)
class RunHeader:
    """What of a run is known before it starts and never changes. `parameters` are the resolved ones, in canonical text;
    `template_digest` is the SHA-256 of the template file, in hex; `principal` names the key that started the run; `retry_of` is the run
    that it goes on from, and `backfill_of` the backfill that started it, both empty for most; `work` names what is done where the
    parameters alone do not: in a backfill."""

    tenant_id: str
    pipeline_id: str
    template_digest: str
    trigger_by: str
    principal: str
    parameters: Mapping[str, str]
    retry_of: str = ""
    backfill_of: str = ""
    work: str = ""

    @property
    def work_id(self) -> str:
        """Names what is done: the same for the same tenant, pipeline and parameters. The id of its workflow, unless the template is
        exclusive or it is a backfill."""
        return self.work or workflow_id_for(self.tenant_id, self.pipeline_id, self.parameters)


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a template for one tenant. `queue_position` is 1 for the tenant's next run, 0 for one that does not wait for a
    slot, or where nobody has looked."""

    pipeline_logging_id: str
    create_time: datetime
    header: RunHeader
    state: RunState
    queue_position: int = 0

    @property
    def own_steps(self) -> tuple[Step, ...]:
        """The steps that this run executed: not those that the run before it had completed, which are accounted for there."""
        return tuple(s for s in self.state.steps if s.start_time is not None and s.start_time >= self.create_time)

    @property
    def newest_source_row_time(self) -> datetime | None:
        """The latest of its steps', those included that the run before it had completed; None where that is known of none."""
        return max(
            (step.newest_source_row_time for step in self.state.steps if step.newest_source_row_time), default=None
        )

    @property
    def cost_usd(self) -> Decimal | None:
        """What its own steps cost; None where that is known of none."""
        known = [cost for step in self.own_steps if (cost := step.cost_usd) is not None]
        return sum(known, Decimal(0)) if known else None


def cancelled(steps: tuple[Step, ...], end_time: datetime | None) -> tuple[Step, ...]:
    """The steps of a run that is cut off: those that have not ended are CANCELLED."""
    return tuple(
        step if step.status.is_terminal else replace(step, status=StepStatus.CANCELLED, end_time=end_time)
        for step in steps
    )


def cut_off(state: RunState, *, end_time: datetime | None, error: RunError | None = None) -> RunState:
    """The terminal state of a run that ended before its workflow could say how: CANCELLED, or FAILED with an error."""
    status = RunStatus.FAILED if error else RunStatus.CANCELLED
    steps = cancelled(state.steps, end_time)
    return replace(state, version=state.version + 1, status=status, end_time=end_time, steps=steps, error=error)
