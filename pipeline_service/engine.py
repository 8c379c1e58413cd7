"""The run engine as use cases see it: durable runs, each known by its workflow and by the engine's own run id.

`temporal_engine.py` is its one adapter. Every method raises Unavailable when the engine is away, within a few seconds.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pipeline_service.backfill_messages import BackfillRef, Listener
from pipeline_service.backfill_plan import BackfillPlan
from pipeline_service.plan import Plan
from pipeline_service.run import Run, RunStatus


@dataclass(frozen=True, slots=True)
class ActiveRun:
    """A run that has not ended, as a listing has it."""

    workflow_id: str
    engine_run_id: str


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution of a workflow: which, and what it says of its run. `latest_attempt` is the highest number of an attempt at any step
    that is under way or due next; 0 where there is none."""

    workflow_id: str
    engine_run_id: str
    run: Run
    latest_attempt: int = 0

    @property
    def active_run(self) -> ActiveRun:
        """It, for what is done to a run while that is active."""
        return ActiveRun(self.workflow_id, self.engine_run_id)


@dataclass(frozen=True, slots=True)
class Started:
    """The run that a start led to. `already_running` says that it was active before and the start joined it."""

    pipeline_logging_id: str
    pipeline_id: str
    status: RunStatus
    already_running: bool


@dataclass(frozen=True, slots=True)
class Queue:
    """A tenant's runs that wait for a slot: the workflows of the first 1,000, the next one first, and the number of all. What their gate
    shows of them is WaitingRuns."""

    first: tuple[str, ...] = ()
    length: int = 0

    def position_of(self, workflow_id: str) -> int:
        """1 for the next run; 0 for one that does not wait. All beyond the first 1,000 are at one more."""
        if workflow_id in self.first:
            return self.first.index(workflow_id) + 1
        return len(self.first) + 1 if self.length > len(self.first) else 0


class RunEngine(Protocol):
    """Starts, shows and ends runs."""

    async def start(self, workflow_id: str, plan: Plan | BackfillPlan, *, start_id: str | None = None) -> Started:
        """Start a run, or join the one of that workflow that is active: of any number of concurrent calls one starts it.

        Repeating a start with its `start_id` gives the run that it started, as long as no later run of the workflow exists. Raises
        PipelineBusy where the active one is not of the plan's work.
        """
        ...

    async def describe(self, workflow_id: str) -> Execution | None:
        """The workflow's latest execution; None where the engine has none (any more)."""
        ...

    async def find(self, workflow_id: str, pipeline_logging_id: str) -> Execution | None:
        """The workflow's execution that is this run. None where the engine has it no more, and for one that another of the same work has
        followed under that work's own workflow: its record tells of it."""
        ...

    async def latest_of(self, workflow_id: str, work_id: str) -> Execution | None:
        """The workflow's latest execution of this work (see RunHeader); None where the engine has none (any more)."""
        ...

    async def plan_of(self, execution: Execution) -> Plan | None:
        """The plan that a run was started with; None where the engine has it no more."""
        ...

    async def backfill_plan_of(self, backfill: BackfillRef) -> BackfillPlan | None:
        """The plan that a backfill was started with; None where the engine has it no more."""
        ...

    async def listen(self, run: ActiveRun, listener: Listener) -> bool:
        """Have a run tell a workflow of its end, once it has come: False where it has ended already."""
        ...

    async def earliest_alive_at(self, workflow_id: str, work_id: str, moment: datetime) -> Execution | None:
        """The workflow's earliest execution of this work that had not ended before `moment`; None where there is none."""
        ...

    async def active(self, tenant_id: str) -> Sequence[ActiveRun]:
        """The tenant's runs that have not ended. The listing lags behind by a moment: one that has just started may be missing, one that
        has just ended still be there."""
        ...

    async def queue(self, tenant_id: str) -> Queue:
        """The tenant's runs that wait for a slot. A run that was started a moment ago may still be missing."""
        ...

    async def cancel(self, run: ActiveRun) -> None:
        """Ask a run to end as CANCELLED, which it does in its time; one that has ended is no error."""
        ...

    def changes(self, execution: Execution) -> AsyncGenerator[Run]:
        """The run's states from the first to the terminal one. Ends early where the engine forgets the run."""
        ...
