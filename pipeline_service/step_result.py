"""What the workflow tells a step's activity and what it hears back. Small: rows never travel through the engine."""

from dataclasses import dataclass
from datetime import datetime

from pipeline_service.plan import PlanStep
from pipeline_service.run import CheckOutcome


@dataclass(frozen=True, slots=True)
class RunRef:
    """Which run a step belongs to. Who scheduled the step before `create_time` was told of left it out."""

    pipeline_logging_id: str
    pipeline_id: str
    tenant_id: str
    create_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class StepTask:
    """One step to execute."""

    run: RunRef
    step: PlanStep


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step did, also when it failed: counts, the outcomes of its checks, the jobs that staged and published, and the price of a TiB
    in decimal text. Only what JSON has: the detail of a failure is read without our converter."""

    attempts: int = 0
    rows_staged: int = 0
    rows_written: int = 0
    bytes_processed: int = 0
    bytes_billed: int = 0
    checks: tuple[CheckOutcome, ...] = ()
    stage_job_id: str = ""
    publish_job_id: str = ""
    price_per_tib_usd: str = ""
