"""A cancellation that comes just before a step publishes: the step looks, whatever it has heard."""

import asyncio
from dataclasses import replace

import pytest

from common.templates.resolved import Write
from pipeline_service.run import RunStatus
from pipeline_service.steps.attempt import Attempt
from pipeline_service.steps.checks import Checks
from pipeline_service.still_wanted import run_is_wanted
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.plans import plan, query_step

PATIENCE_SECONDS = 60.0


@pytest.mark.parametrize("by_hand", [False, True], ids=["cancelled", "ended by hand"])
@pytest.mark.parametrize("write", ["replace_partition", "view"])
async def test_a_step_that_has_not_heard_of_its_runs_end_does_not_publish(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, by_hand: bool, write: Write
) -> None:
    checked, has_ended, looked = asyncio.Event(), asyncio.Event(), asyncio.Event()
    seen: list[bool] = []

    async def check(_checks: Checks, _attempt: Attempt, _rows: str) -> None:
        checked.set()
        await has_ended.wait()

    async def look() -> bool:
        seen.append(await run_is_wanted())
        looked.set()
        return seen[-1]

    monkeypatch.setattr(Checks, "run", check)
    monkeypatch.setattr("pipeline_service.activities.run_is_wanted", look)
    monkeypatch.setattr("pipeline_service.heartbeat.HEARTBEAT_SECONDS", 3600.0)  # it hears of nothing by itself
    step = query_step(lab.tenant_id)
    assert step.query is not None
    wanted = plan(lab.tenant_id, replace(step, max_attempts=1, query=replace(step.query, write=write)))
    async with lab.worker(), asyncio.timeout(PATIENCE_SECONDS):
        started = await lab.start(wanted)
        await checked.wait()
        handle = lab.client.get_workflow_handle(lab.workflow_id(wanted))
        await (handle.terminate() if by_hand else handle.cancel())
        has_ended.set()
        await looked.wait()
        run = await lab.end_of(started)
    assert (run.state.status, seen) == (RunStatus.CANCELLED, [False])
    assert "load_publish_1" not in lab.warehouse.effects
    assert f"{lab.tenant_id}.load_table" not in lab.warehouse.tables


async def test_a_step_of_a_run_that_goes_on_publishes(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    async def look() -> bool:
        seen.append(await run_is_wanted())
        return seen[-1]

    monkeypatch.setattr("pipeline_service.activities.run_is_wanted", look)
    async with lab.worker():
        run = await lab.run(plan(lab.tenant_id))
    assert (run.state.status, seen) == (RunStatus.COMPLETE, [True])
