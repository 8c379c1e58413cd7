"""Backfills on a real engine over the fake warehouse: what dies, what hangs and what is ended by hand in the middle of one."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from common.errors import TenantNotFound, TenantSuspended, Unavailable
from pipeline_service.backfill import Day, dates_between
from pipeline_service.backfill_messages import Listener
from pipeline_service.backfill_workflow import BackfillWorkflow
from pipeline_service.engine import ActiveRun
from pipeline_service.gate_messages import Limits
from pipeline_service.run import RunStatus
from pipeline_service.temporal_names import gate_id
from pipeline_service.temporal_payloads import DATA_CONVERTER
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.days import FIRST, HELD, PATIENCE_SECONDS, Days, statuses


@pytest.fixture
def days(lab: Lab) -> Days:
    """No worker yet."""
    return Days(lab)


async def test_a_backfill_goes_on_under_another_worker_and_publishes_every_day_once(lab: Lab, days: Days) -> None:
    days.hold()
    async with lab.worker():
        started = await days.start("2025-11-04")
        await days.stand(started, "RUNNING", "RUNNING", "PENDING", "PENDING")
    days.let_go()
    async with lab.worker():
        ended = await days.end_of(started)
    assert (ended.state.status, statuses(ended)) == (RunStatus.COMPLETE, ["COMPLETE"] * 4)
    assert Counter(lab.warehouse.effects)["load_publish_1"] == 4
    assert len(lab.warehouse.records("pipeline_runs")) == 5


async def test_a_run_that_was_ended_by_hand_is_found_out(lab: Lab, days: Days) -> None:
    days.hold()
    async with lab.worker():
        started = await days.start("2025-11-02")
        first, _ = await days.stand(started, "RUNNING", "RUNNING")
        run = await lab.execution(first.pipeline_logging_id)
        await lab.client.get_workflow_handle(run.workflow_id, run_id=run.engine_run_id).terminate()
        await days.stand(started, "CANCELLED", "RUNNING")
        days.let_go()
        ended = await days.end_of(started)
    assert (ended.state.status, statuses(ended)) == (RunStatus.FAILED, ["CANCELLED", "COMPLETE"])
    assert ended.state.error is not None
    assert (ended.state.error.reason, ended.state.error.message) == ("DAYS_FAILED", "1 of 2 days did not complete")


async def test_no_day_starts_while_the_tenant_is_suspended_and_all_do_once_it_is_resumed(lab: Lab, days: Days) -> None:
    lab.tenants.problem = TenantSuspended()
    async with lab.worker():
        started = await days.start("2025-11-02")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not lab.warehouse.records("pipeline_runs"):  # noqa: ASYNC110 - the worker is at it
                await asyncio.sleep(0.02)
        assert statuses(await days.run_of(started)) == ["PENDING", "PENDING"]
        assert len(lab.warehouse.records("pipeline_runs")) == 1
        lab.tenants.problem = None
        assert statuses(await days.end_of(started)) == ["COMPLETE", "COMPLETE"]


async def test_the_days_of_a_tenant_that_is_gone_fail_and_say_why(lab: Lab, days: Days) -> None:
    lab.tenants.problem = TenantNotFound()
    async with lab.worker():
        ended = await days.end_of(await days.start("2025-11-02"))
    assert statuses(ended) == ["FAILED", "FAILED"]
    assert ended.state.error is not None
    assert "2 of 2 days did not complete; 2025-11-0" in ended.state.error.message
    assert "could not be started, TENANT_NOT_FOUND" in ended.state.error.message


async def test_a_gate_that_was_ended_by_hand_does_not_take_a_backfill_for_a_run(lab: Lab, days: Days) -> None:
    lab.limit(Limits(per_tenant=1, per_template=1))
    days.hold()
    async with lab.worker():
        started = await days.start("2025-11-03", max_parallel=3)
        await days.stand(started, "RUNNING", "RUNNING", "RUNNING")
        async with asyncio.timeout(PATIENCE_SECONDS):
            await lab.warehouse.began[HELD].wait()
        await lab.client.get_workflow_handle(gate_id(lab.tenant_id)).terminate()
        days.let_go()
        ended = await days.end_of(started)
    assert statuses(ended) == ["COMPLETE"] * 3
    assert Counter(lab.warehouse.effects)["load_publish_1"] == 3


async def test_a_day_whose_last_run_is_nowhere_any_more_is_run_from_its_beginning(lab: Lab, days: Days) -> None:
    plan = days.plan("2025-11-01")
    forgotten = Day(FIRST, pipeline_logging_id="00000000-0000-8000-8000-000000000001")
    plan = replace(plan, backfill=plan.backfill.with_day(forgotten))
    async with lab.worker():
        ended = await days.end_of(await lab.engine.start(plan.workflow_id, plan))
    assert statuses(ended) == ["COMPLETE"]


async def test_a_start_that_is_repeated_after_its_worker_died_counts_as_the_backfills_own(
    lab: Lab, days: Days, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen, failed = lab.engine.listen, False

    async def fail_once(run: ActiveRun, listener: Listener) -> bool:
        nonlocal failed
        if not failed:
            failed = True
            raise Unavailable("away")
        return await listen(run, listener)

    monkeypatch.setattr(lab.engine, "listen", fail_once)
    days.hold()
    async with lab.worker():
        started = await days.start("2025-11-01")
        (day,) = await days.stand(started, "RUNNING")
        days.let_go()
        await days.end_of(started)
    assert (failed, day.joined) == (True, False)
    assert len(lab.warehouse.records("pipeline_runs")) == 2


async def test_a_history_grows_by_a_dozen_events_for_each_day_and_replays(lab: Lab, days: Days) -> None:
    last = dates_between(FIRST, "2025-12-31")[5]
    plan = replace(days.plan(last, max_parallel=3), first_look_seconds=3600.0)
    async with lab.worker():
        started = await lab.engine.start(plan.workflow_id, plan)
        assert statuses(await days.end_of(started)) == ["COMPLETE"] * 6
    execution = await lab.execution(started.pipeline_logging_id)
    history: WorkflowHistory = await lab.client.get_workflow_handle(execution.workflow_id).fetch_history()
    assert len(history.events) < 13 * 6 + 40
    await Replayer(workflows=[BackfillWorkflow], data_converter=DATA_CONVERTER).replay_workflow(history)
