"""What a backfill, its activities and the runs of its days tell each other. Plain frozen dataclasses, which the engine keeps."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline_service.backfill import Day, DayStatus
from pipeline_service.run import RunError, RunStatus


@dataclass(frozen=True, slots=True)
class Listener:
    """A workflow that wants to be told of a run's end."""

    workflow_id: str
    engine_run_id: str


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended."""

    pipeline_logging_id: str
    status: RunStatus


@dataclass(frozen=True, slots=True)
class BackfillRef:
    """Which backfill an activity is for, and where the engine has it: its plan lies there."""

    tenant_id: str
    pipeline_logging_id: str
    workflow_id: str
    engine_run_id: str

    @property
    def listener(self) -> Listener:
        """Who is told of the ends of its runs."""
        return Listener(self.workflow_id, self.engine_run_id)


@dataclass(frozen=True, slots=True)
class DayTask:
    """A day to start."""

    backfill: BackfillRef
    date: str


@dataclass(frozen=True, slots=True)
class DaysTask:
    """Days to look at, or to stop."""

    backfill: BackfillRef
    days: tuple[Day, ...]


@dataclass(frozen=True, slots=True)
class DayStarted:
    """Where a day stands once it was started, and, where there is no run of it, why."""

    day: Day
    error: RunError | None = None


@dataclass(frozen=True, slots=True)
class CompleteDays:
    """Days whose last run is COMPLETE: the run's id, by the date."""

    runs: Mapping[str, str]


def day_status(status: RunStatus) -> DayStatus:
    """Where a day stands whose run stands like this. One that waits for its slot is RUNNING: it takes one of the backfill's places."""
    return DayStatus(status.value) if status.is_terminal else DayStatus.RUNNING
