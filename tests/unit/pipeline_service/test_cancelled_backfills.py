"""Backfills that are cancelled, on a real engine over the fake warehouse: nothing of them goes on, whatever is in the way."""

import asyncio
from contextlib import suppress

import pytest

from common.clock import SystemClock
from common.errors import TenantSuspended, Unavailable
from common.rpc.caller import Caller
from pipeline_service.backfill import DayStatus
from pipeline_service.backfill_messages import Listener
from pipeline_service.cancel_runs import CancelRuns
from pipeline_service.engine import ActiveRun, Started
from pipeline_service.run import RunStatus
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.days import PATIENCE_SECONDS, Days, statuses


@pytest.fixture
def days(lab: Lab) -> Days:
    """No worker yet."""
    return Days(lab)


async def test_a_backfill_that_waits_for_its_tenant_is_cancelled_at_once(lab: Lab, days: Days) -> None:
    lab.tenants.problem = TenantSuspended()
    async with lab.worker():
        started = await days.start("2025-11-03")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not lab.warehouse.records("pipeline_runs"):  # noqa: ASYNC110 - the worker is at it
                await asyncio.sleep(0.02)
        await cancel(lab, started)
        ended = await days.end_of(started)
    assert (ended.state.status, statuses(ended)) == (RunStatus.CANCELLED, ["CANCELLED"] * 3)


@pytest.mark.parametrize("is_retry", [False, True], ids=["first", "retry"])
async def test_a_run_that_was_started_and_never_told_of_is_cancelled_with_the_backfill(
    lab: Lab, days: Days, monkeypatch: pytest.MonkeyPatch, is_retry: bool
) -> None:
    listening = asyncio.Event()

    async def hang(run: ActiveRun, listener: Listener) -> bool:
        listening.set()
        await asyncio.Event().wait()
        return True

    async with lab.worker():
        plan = days.plan("2025-11-01")
        if is_retry:
            plan = await days.failed(plan)
        days.hold()
        monkeypatch.setattr(lab.engine, "listen", hang)
        started = await lab.engine.start(plan.workflow_id, plan)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await listening.wait()
        assert statuses(await days.run_of(started)) == ["PENDING"], "the activity that started it has not said so"
        await cancel(lab, started)
        monkeypatch.undo()
        ended = await days.end_of(started)
        (day,) = await days.days_of(started)
        assert (ended.state.status, day.status) == (RunStatus.CANCELLED, DayStatus.CANCELLED)
        run = await lab.execution(day.pipeline_logging_id)
        assert run.run.state.status is RunStatus.CANCELLED
        assert run.run.header.backfill_of == started.pipeline_logging_id


async def test_what_ends_the_runs_of_a_tenant_ends_its_backfills_and_their_days(lab: Lab, days: Days) -> None:
    days.hold()
    async with lab.worker():
        started = await days.start("2025-11-03")
        await days.stand(started, "RUNNING", "RUNNING", "PENDING")
        cancel_runs = CancelRuns(
            tenants=lab.tenants, engine=lab.engine, requests=lab.requests, clock=SystemClock(), settle_seconds=1.0
        )
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await cancel_runs(Caller("admin:12345678", None), tenant_id=lab.tenant_id) == 3
        ended = await days.run_of(started)
    assert (ended.state.status, statuses(ended)) == (RunStatus.CANCELLED, ["CANCELLED"] * 3)
    assert {row["status"] for row in lab.warehouse.records("pipeline_runs")} == {"CANCELLED"}
    assert not await lab.engine.active(lab.tenant_id)


async def test_a_cancelled_backfill_stops_what_it_can_and_goes_on_until_the_engine_lets_it_stop_the_rest(
    lab: Lab, days: Days, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline_service.failures.FIRST_PAUSE_SECONDS", 0.02)
    failures, cancel_run = 0, lab.engine.cancel

    async def refuse(run: ActiveRun) -> None:
        nonlocal failures
        if run.workflow_id == refused.workflow_id and failures < 12:  # more than what nobody foresaw is tried
            failures += 1
            raise RuntimeError("what nobody foresaw")
        await cancel_run(run)

    days.hold()
    async with lab.worker():
        started = await days.start("2025-11-03")
        first, *_ = await days.stand(started, "RUNNING", "RUNNING", "PENDING")
        refused = await lab.execution(first.pipeline_logging_id)
        backfill = await lab.execution(started.pipeline_logging_id)
        monkeypatch.setattr(lab.engine, "cancel", refuse)
        await cancel_run(ActiveRun(backfill.workflow_id, backfill.engine_run_id))
        await days.stand(started, "RUNNING", "CANCELLED", "CANCELLED")
        ended = await days.end_of(started)
    assert (failures, ended.state.status, statuses(ended)) == (12, RunStatus.CANCELLED, ["CANCELLED"] * 3)


async def cancel(lab: Lab, started: Started) -> None:
    """CancelRun."""
    execution = await lab.execution(started.pipeline_logging_id)
    with suppress(Unavailable):
        await lab.engine.cancel(execution.active_run)
