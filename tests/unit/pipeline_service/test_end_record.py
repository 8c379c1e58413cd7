"""A run's end is recorded by the activity of its last step where that succeeds: once, after its begin, and whatever becomes of the record;
on a real engine."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from unittest.mock import Mock

import pytest
from temporalio.api.enums.v1 import EventType

from common.clock import Clock, SystemClock
from common.errors import JobAborted, ObjectNotFound, Terminal, Transient, Unavailable
from common.templates.resolved import ResolvedStep
from common.warehouse.warehouse import Warehouse
from pipeline_service import activities as activities_module
from pipeline_service import end_record
from pipeline_service.end_record import EndRecord
from pipeline_service.engine import Started
from pipeline_service.gate_door import GateDoor
from pipeline_service.gate_messages import GateSignal, Limits
from pipeline_service.records import Records
from pipeline_service.run import RunStatus, StepStatus
from pipeline_service.step_result import Closing, StepResult
from pipeline_service.steps.attempt import Attempt
from pipeline_service.steps.executor import StepExecutor
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.plans import plan, query_step, statement
from tests.unit.pipeline_service.recording import activities, jobs, recorded, step_status_is, with_gate
from tests.waiting import until

PATIENCE_SECONDS = 60.0
BY_ITSELF = ["run_step", "close_run"]

pytestmark = pytest.mark.usefixtures("patience")


def held_step(lab: Lab, step_id: str) -> ResolvedStep:
    """A step that stages its rows once the test says so."""
    lab.warehouse.selects[f"select {step_id}"] = []
    held(lab, f"{step_id}_stage_1")
    return query_step(lab.tenant_id, step_id)


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


async def test_a_run_is_one_activity_whose_record_says_what_the_run_shows(lab: Lab) -> None:
    lab.limit(Limits(per_tenant=1, per_template=1))
    async with with_gate(lab):
        for note in "ab":  # the second has the slot of the first
            started = await lab.start(plan(lab.tenant_id, note=note))
            run = await lab.end_of(started)
            assert await activities(lab, started) == ["run_step"]
    [row] = [
        row for row in lab.warehouse.records("pipeline_runs") if row["pipeline_logging_id"] == run.pipeline_logging_id
    ]
    assert (row["status"], row["end_time"]) == ("COMPLETE", run.state.end_time)
    [step] = run.state.steps
    assert (step.status, step.end_time, step.rows_written, step.attempts) == (
        StepStatus.COMPLETE,
        run.state.end_time,
        1,
        1,
    )
    assert not [table for table in lab.warehouse.tables if "_stage_" in table]


async def test_only_the_last_of_three_steps_ends_their_run(lab: Lab) -> None:
    lab.warehouse.selects |= {"select b": [], "select c": []}
    steps = (
        query_step(lab.tenant_id),
        query_step(lab.tenant_id, "b", after=("load",)),
        query_step(lab.tenant_id, "c", after=("b",)),
    )
    async with with_gate(lab):
        started = await lab.start(plan(lab.tenant_id, *steps))
        run = await lab.end_of(started)
    assert run.state.status is RunStatus.COMPLETE
    assert await activities(lab, started) == ["run_step"] * 3
    assert lab.warehouse.effects[-1] == "done_1"
    assert jobs(lab) == ["begin_1", "done_1"]


async def test_of_two_last_steps_at_once_none_ends_the_run(lab: Lab) -> None:
    async with with_gate(lab):
        started = await lab.start(plan(lab.tenant_id, held_step(lab, "load"), held_step(lab, "other")))
        for step in ("load", "other"):
            await lab.warehouse.began[f"{step}_stage_1"].wait()
        for step in ("load", "other"):
            lab.warehouse.held[f"{step}_stage_1"].set()
        run = await lab.end_of(started)
    assert run.state.status is RunStatus.COMPLETE
    assert await activities(lab, started) == ["run_step", "run_step", "close_run"]
    assert jobs(lab) == ["begin_1", "end_1"]


@pytest.mark.parametrize("is_passed_over", [True, False], ids=["passed over", "not passed over"])
async def test_a_last_step_ends_a_run_with_the_failure_of_another_only_where_that_is_passed_over(
    lab: Lab, is_passed_over: bool
) -> None:
    failing = replace(query_step(lab.tenant_id, "unknown"), on_failure="continue" if is_passed_over else "stop")
    lab.warehouse.selects["select last"] = []
    last = query_step(lab.tenant_id, "last", after=("before",))
    async with with_gate(lab):
        started = await lab.start(plan(lab.tenant_id, failing, held_step(lab, "before"), last))
        await step_status_is(lab, started, StepStatus.FAILED)
        lab.warehouse.held["before_stage_1"].set()
        run = await lab.end_of(started)
    assert run.state.status is (RunStatus.COMPLETE if is_passed_over else RunStatus.FAILED)
    assert jobs(lab) == ["begin_1", "done_1" if is_passed_over else "end_1"]
    assert recorded(lab, run) == [run.state.status.value]


async def test_a_last_step_does_not_end_a_run_whose_begin_is_not_known_to_be_recorded(lab: Lab) -> None:
    """Two statements that each insert a row that is not there could both find none."""
    step = replace(query_step(lab.tenant_id), when=statement("select condition"))
    lab.warehouse.selects["select condition"] = [{"decision": True}]
    async with with_gate(lab):
        lab.warehouse.held["begin_1"].clear()
        started = await lab.start(plan(lab.tenant_id, step))
        await step_status_is(lab, started, StepStatus.COMPLETE)
        assert not jobs(lab)
        lab.warehouse.held["begin_1"].set()
        run = await lab.end_of(started)
    assert jobs(lab) == ["begin_1", "end_1"]
    assert recorded(lab, run) == ["COMPLETE"]


async def test_an_end_with_the_last_step_says_how_new_its_source_is(lab: Lab) -> None:
    newest = SystemClock().now()
    lab.warehouse.selects |= {"select last": [], "select newest": [{"newest": newest}]}
    last = query_step(lab.tenant_id, "last", after=("load",))
    assert last.query is not None
    last = replace(last, query=replace(last.query, newest_source_row=statement("select newest")))
    async with with_gate(lab):
        run = await lab.end_of(await lab.start(plan(lab.tenant_id, query_step(lab.tenant_id), last)))
    assert run.state.steps[1].newest_source_row_time == newest
    assert jobs(lab) == ["begin_1", "done_1"]


async def test_a_run_does_not_end_before_its_last_step_began_though_its_workers_clock_is_behind(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = Mock(now=lambda: SystemClock().now() - timedelta(hours=1))

    def end_record_of(records: Records, warehouse: Warehouse, door: GateDoor, _clock: Clock) -> EndRecord:
        return EndRecord(records, warehouse, door, behind)

    monkeypatch.setattr(activities_module, "EndRecord", end_record_of)
    async with with_gate(lab):
        run = await lab.run(plan(lab.tenant_id))
    assert run.state.end_time is not None
    assert run.state.steps[0].start_time is not None
    assert run.state.end_time >= run.state.steps[0].start_time
    assert jobs(lab) == ["begin_1", "done_1"]


async def test_an_attempt_that_follows_another_fails_for_its_own_reason_where_nobody_can_tell_whether_that_succeeded(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, looks = Records.success_before, 0

    async def fail_to_look_again(self: Records, attempt: Attempt) -> StepResult | None:
        nonlocal looks
        looks += attempt.follows_another
        if looks > 1:
            raise Transient("away")
        return await look(self, attempt)

    monkeypatch.setattr(Records, "success_before", fail_to_look_again)
    async with with_gate(lab):
        lab.warehouse.failures |= {"load_stage_1": JobAborted("a passing fault"), "load_stage_2": Terminal("refused")}
        run = await lab.run(plan(lab.tenant_id))
    assert run.state.error is not None
    assert (looks, run.state.error.reason, run.state.steps[0].attempts) == (2, "STATEMENT_FAILED", 2)


@pytest.mark.parametrize("error", [Terminal("refused"), RuntimeError("unforeseen")], ids=["refused", "unforeseen"])
async def test_an_end_that_cannot_be_recorded_with_its_step_does_not_fail_it(lab: Lab, error: Exception) -> None:
    async with with_gate(lab):
        lab.warehouse.failures["done_1"] = error
        started = await lab.start(plan(lab.tenant_id))
        run = await lab.end_of(started)
    assert (run.state.status, run.state.steps[0].attempts) == (RunStatus.COMPLETE, 1)
    assert await activities(lab, started) == BY_ITSELF
    assert jobs(lab) == ["begin_1", "end_1"]
    assert recorded(lab, run) == ["COMPLETE"]


async def test_a_run_whose_slot_is_not_given_back_with_its_step_gives_it_back_by_itself(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.limit(Limits(per_tenant=1, per_template=1))

    async def fail(_door: GateDoor, _signal: GateSignal) -> None:
        raise Unavailable("the engine is away")

    async with with_gate(lab):
        monkeypatch.setattr(GateDoor, "tell", fail)
        started = await lab.start(plan(lab.tenant_id))
        assert (await lab.end_of(started)).state.status is RunStatus.COMPLETE
        monkeypatch.undo()
        assert await activities(lab, started) == ["run_step"]
        assert (await lab.run(plan(lab.tenant_id, note="next"))).state.status is RunStatus.COMPLETE


@pytest.mark.parametrize("is_late", [False, True], ids=["cancelled", "too late"])
async def test_a_run_that_is_stopped_while_its_end_is_recorded_has_ended(lab: Lab, is_late: bool) -> None:
    async with with_gate(lab):
        held(lab, "done_1")
        started = await lab.start(replace(plan(lab.tenant_id), timeout_seconds=1.0 if is_late else PATIENCE_SECONDS))
        await lab.warehouse.began["done_1"].wait()
        if not is_late:
            await lab.engine.cancel((await lab.execution(started.pipeline_logging_id)).active_run)
        await was_asked_to_stop(lab, started)
        lab.warehouse.held["done_1"].set()
        run = await lab.end_of(started)
    assert (run.state.status, run.state.error) == (RunStatus.COMPLETE, None)
    assert await activities(lab, started) == ["run_step"]
    assert jobs(lab) == ["begin_1", "done_1"]
    assert recorded(lab, run) == ["COMPLETE"]


async def test_an_end_that_is_recorded_before_its_run_is_stopped_is_the_runs(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaving, may_leave = asyncio.Event(), asyncio.Event()

    async def tell_late(_door: GateDoor, _signal: GateSignal) -> None:
        leaving.set()
        await may_leave.wait()
        raise Unavailable("the engine is away")

    async with with_gate(lab):
        monkeypatch.setattr(GateDoor, "tell", tell_late)
        started = await lab.start(replace(plan(lab.tenant_id), timeout_seconds=1.0))
        await leaving.wait()
        await was_asked_to_stop(lab, started)
        may_leave.set()
        run = await lab.end_of(started)
    assert run.state.status is RunStatus.COMPLETE
    assert jobs(lab) == ["begin_1", "done_1"]
    assert recorded(lab, run) == ["COMPLETE"]


async def test_a_run_that_is_cancelled_while_its_end_takes_long_has_it_recorded_by_itself(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(end_record, "PATIENCE_SECONDS", 0.1)
    async with with_gate(lab):
        held(lab, "done_1")
        started = await lab.start(plan(lab.tenant_id))
        await lab.warehouse.began["done_1"].wait()
        await lab.engine.cancel((await lab.execution(started.pipeline_logging_id)).active_run)
        await was_asked_to_stop(lab, started)
        run = await lab.end_of(started)
        before = list(lab.warehouse.records("pipeline_runs"))
        lab.warehouse.held["done_1"].set()
        await until(lambda: "done_1" in lab.warehouse.effects, PATIENCE_SECONDS)
    assert run.state.status is RunStatus.COMPLETE, "its step has succeeded"
    assert await activities(lab, started) == BY_ITSELF
    assert jobs(lab) == ["begin_1", "end_1", "done_1"]
    assert lab.warehouse.records("pipeline_runs") == before


async def test_a_worker_that_shuts_down_while_an_end_is_recorded_leaves_that_to_another(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(end_record, "PATIENCE_SECONDS", 0.1)
    async with with_gate(lab):
        held(lab, "done_1")
        started = await lab.start(plan(lab.tenant_id))
        await lab.warehouse.began["done_1"].wait()
    async with lab.worker():
        run = await lab.end_of(started)
        lab.warehouse.held["done_1"].set()
        await until(lambda: "done_1" in lab.warehouse.effects, PATIENCE_SECONDS)
    assert run.state.status is RunStatus.COMPLETE
    assert jobs(lab) == ["begin_1", "end_1", "done_1"]
    assert lab.warehouse.effects.count("load_publish_1") == 1
    assert recorded(lab, run) == ["COMPLETE"]


@pytest.mark.parametrize("is_seen_late", [False, True], ids=["recorded before", "recorded meanwhile"])
async def test_a_step_whose_worker_died_after_the_end_was_recorded_does_nothing_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, is_seen_late: bool
) -> None:
    write, look, looks = EndRecord.write_with, Records.success_before, 0
    written = asyncio.Event()

    async def write_and_hang(self: EndRecord, closing: Closing, step_id: str, result: StepResult) -> StepResult:
        await write(self, closing, step_id, result)
        written.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def see_late(self: Records, attempt: Attempt) -> StepResult | None:
        nonlocal looks
        looks += 1
        return None if is_seen_late and looks == 1 else await look(self, attempt)

    async def find_nothing(_self: StepExecutor, _attempt: Attempt) -> None:
        raise ObjectNotFound("what was staged is dropped")

    monkeypatch.setattr(Records, "success_before", see_late)
    async with with_gate(lab):
        monkeypatch.setattr(EndRecord, "write_with", write_and_hang)
        started = await lab.start(plan(lab.tenant_id))
        await written.wait()
    assert not [table for table in lab.warehouse.tables if "_stage_" in table]
    monkeypatch.setattr(StepExecutor, "run", find_nothing)
    async with lab.worker():
        run = await lab.end_of(started)
    assert (run.state.status, looks) == (RunStatus.COMPLETE, 1 + is_seen_late)
    assert await activities(lab, started) == BY_ITSELF
    assert jobs(lab) == ["begin_1", "done_1", "end_1"]
    assert [row["status"] for row in lab.warehouse.records("step_logs")][1:] == ["COMPLETE"]
    assert lab.warehouse.effects.count("load_publish_1") == 1
    assert recorded(lab, run) == ["COMPLETE"]
