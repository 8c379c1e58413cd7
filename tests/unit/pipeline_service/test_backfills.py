"""Backfills on a real engine over the fake warehouse: what dies, what hangs and what is ended by hand in the middle of one."""

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import date

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from common.clock import SystemClock
from common.errors import TenantNotFound, TenantSuspended, Terminal, Unavailable
from common.rpc.caller import Caller
from common.templates.load import load_template
from common.templates.resolve import resolve
from common.templates.template import TemplateName
from pipeline_service.backfill import Backfill, Day, DayStatus, dates_between
from pipeline_service.backfill_messages import Listener
from pipeline_service.backfill_plan import BackfillPlan
from pipeline_service.backfill_workflow import BackfillWorkflow
from pipeline_service.cancel_runs import CancelRuns
from pipeline_service.engine import ActiveRun, Started
from pipeline_service.gate_messages import Limits
from pipeline_service.going_on import backfill_going_on
from pipeline_service.plan import Plan
from pipeline_service.run import Run, RunStatus
from pipeline_service.temporal_names import gate_id
from pipeline_service.temporal_payloads import DATA_CONVERTER
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.fake_warehouse import DAY

PATIENCE_SECONDS = 60.0
NAME = TemplateName("gcp", "cost", "bill")
TEXT = """
description: A row of a day
parameters:
  date: {type: date, required: true}
steps:
  - id: load
    type: query
    sql: SELECT @date AS day
    destination: {table: load_table, write: replace_partition, partition: {column: day, value: "{date}"}}
    timeout: 10m
"""
FIRST = "2025-11-01"
HELD = "load_stage_1"


class Days:
    """Backfills of one tenant, whose days last until they are let go."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._template = load_template(TEXT.encode(), NAME)
        lab.warehouse.selects[self._plan_of(FIRST).steps[0].query.select.sql] = [{"day": DAY}]  # type: ignore[union-attr]

    def plan(self, last: str, max_parallel: int = 2) -> BackfillPlan:
        """The plan of a backfill from FIRST on."""
        header = replace(self._plan_of(FIRST).header, parameters={}, work=f"backfill/{last}")
        backfill = Backfill.of(FIRST, last, max_parallel=max_parallel, skip_complete=False)
        return BackfillPlan(header, backfill, TEXT, {}, FIRST, first_look_seconds=0.5)

    async def start(self, last: str, max_parallel: int = 2) -> Started:
        """Start a backfill."""
        plan = self.plan(last, max_parallel)
        return await self.lab.engine.start(plan.workflow_id, plan)

    async def run_of(self, started: Started) -> Run:
        """It as it stands."""
        return (await self.lab.execution(started.pipeline_logging_id)).run

    async def days_of(self, started: Started) -> list[Day]:
        """Its days as they stand."""
        backfill = (await self.run_of(started)).state.backfill
        assert backfill is not None
        return backfill.days

    async def stand(self, started: Started, *expected: str) -> list[Day]:
        """Its days, once they stand like this."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while statuses(await self.run_of(started)) != list(expected):  # noqa: ASYNC110 - the engine says when it says
                await asyncio.sleep(0.02)
        return await self.days_of(started)

    async def end_of(self, started: Started) -> Run:
        """It once it has ended."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.lab.end_of(started)

    async def failed(self, plan: BackfillPlan) -> BackfillPlan:
        """Let a backfill fail: the plan of the one that goes on from it."""
        self.lab.warehouse.failures[HELD] = Terminal("no")
        ended = await self.end_of(await self.lab.engine.start(plan.workflow_id, plan))
        assert ended.state.status is RunStatus.FAILED
        del self.lab.warehouse.failures[HELD]
        again = await backfill_going_on(self.lab.engine, await self.lab.execution(ended.pipeline_logging_id))
        assert again is not None
        return again

    def hold(self) -> None:
        """Hold every day's run."""
        self.lab.warehouse.held[HELD].clear()

    def let_go(self) -> None:
        """Let them end."""
        self.lab.warehouse.held[HELD].set()

    def _plan_of(self, day: str) -> Plan:
        resolved = resolve(
            self._template,
            tenant_id=self.lab.tenant_id,
            sources={},
            date=day,
            parameters={},
            today=date.fromisoformat(FIRST),
        )
        return Plan.of(resolved, trigger_by="test", principal="key")


@pytest.fixture
def days(lab: Lab) -> Days:
    """No worker yet."""
    return Days(lab)


def statuses(run: Run) -> list[str]:
    assert run.state.backfill is not None
    return [day.status.value for day in run.state.backfill.days]


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


async def cancel(lab: Lab, started: Started) -> None:
    """CancelRun."""
    execution = await lab.execution(started.pipeline_logging_id)
    with suppress(Unavailable):
        await lab.engine.cancel(execution.active_run)
