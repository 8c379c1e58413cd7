"""What was recorded of a run, and by which of its activities."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from temporalio.api.enums.v1 import EventType

from common.templates.resolved import ResolvedStep
from pipeline_service.engine import Started
from pipeline_service.run import Run, StepStatus
from tests.replay.recorded import replay
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.plans import plan, query_step

PATIENCE_SECONDS = 60.0


@asynccontextmanager
async def with_gate(lab: Lab) -> AsyncIterator[None]:
    """A worker, and a gate that has had a run: the next gets its slot at once."""
    async with lab.worker():
        await lab.run(plan(lab.tenant_id, note="first"))
        lab.warehouse.effects.clear()
        yield


def jobs(lab: Lab) -> list[str]:
    """The jobs that wrote the row of a run, in order."""
    return [effect for effect in lab.warehouse.effects if effect.split("_")[0] in ("begin", "done", "end")]


async def activities(lab: Lab, started: Started) -> list[str]:
    """What the run had done, in order. Its history replays."""
    execution = await lab.execution(started.pipeline_logging_id)
    history = await lab.client.get_workflow_handle(execution.workflow_id).fetch_history()
    await replay(history)
    scheduled = [event.activity_task_scheduled_event_attributes for event in history.events]
    return [attributes.activity_type.name for attributes in scheduled if attributes.activity_type.name]


def recorded(lab: Lab, run: Run) -> list[str]:
    """The statuses of the run's rows."""
    rows = lab.warehouse.records("pipeline_runs")
    return [row["status"] for row in rows if row["pipeline_logging_id"] == run.pipeline_logging_id]


async def step_status_is(lab: Lab, started: Started, status: StepStatus, step_id: str | None = None) -> None:
    """Return once the run shows this step so, its first unless one is named."""

    async def shown() -> StepStatus:
        steps = (await lab.execution(started.pipeline_logging_id)).run.state.steps
        return next(step.status for step in steps if step.step_id == (step_id or steps[0].step_id))

    async with asyncio.timeout(PATIENCE_SECONDS):
        while await shown() is not status:  # noqa: ASYNC110 - the engine says when it says
            await asyncio.sleep(0.02)


def held(lab: Lab, job: str) -> None:
    """Have the next such job end once the test says so."""
    lab.warehouse.held[job].clear()
    lab.warehouse.began[job].clear()


async def was_asked_to_stop(lab: Lab, started: Started) -> None:
    """Return once the engine has told the run's activity to stop."""
    execution = await lab.execution(started.pipeline_logging_id)
    handle = lab.client.get_workflow_handle(execution.workflow_id)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not any(  # noqa: ASYNC110 - the engine says when it says
            event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED
            for event in (await handle.fetch_history()).events
        ):
            await asyncio.sleep(0.02)


def chain(lab: Lab, *step_ids: str) -> list[ResolvedStep]:
    """The step `load`, and these, each after the one before it."""
    steps = [query_step(lab.tenant_id)]
    for step_id in step_ids:
        lab.warehouse.selects[f"select {step_id}"] = []
        steps.append(query_step(lab.tenant_id, step_id, after=(steps[-1].step_id,)))
    return steps


def logged(lab: Lab, run: Run) -> Counter[tuple[str, str]]:
    """The run's rows: how many there are of each step with each status."""
    rows = lab.warehouse.records("step_logs")
    return Counter(
        (row["step_id"], row["status"]) for row in rows if row["pipeline_logging_id"] == run.pipeline_logging_id
    )


def once(**statuses: str) -> Counter[tuple[str, str]]:
    """One row of each of these steps."""
    return Counter(statuses.items())


async def scheduled(lab: Lab, started: Started, activity: str) -> None:
    """Return once the run has scheduled this activity."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while activity not in await activities(lab, started):  # noqa: ASYNC110 - the engine says when it says
            await asyncio.sleep(0.05)
