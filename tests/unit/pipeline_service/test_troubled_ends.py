"""A run's end that is recorded by the activity of its last step, while something goes wrong: the run, its record and its slot agree; on a
real engine."""

import asyncio
from copy import deepcopy
from dataclasses import replace

import pytest

from common.errors import JobAborted, ObjectNotFound, Terminal, Transient, Unavailable
from pipeline_service import end_record
from pipeline_service.end_record import EndRecord
from pipeline_service.gate_door import GateDoor
from pipeline_service.gate_messages import GateSignal, Limits
from pipeline_service.records import Records
from pipeline_service.run import RunStatus
from pipeline_service.step_result import Closing, StepResult
from pipeline_service.steps.attempt import Attempt
from pipeline_service.steps.executor import StepExecutor
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.plans import plan
from tests.unit.pipeline_service.recording import activities, held, jobs, recorded, was_asked_to_stop, with_gate
from tests.waiting import until

PATIENCE_SECONDS = 60.0
BY_ITSELF = ["run_step", "close_run"]

pytestmark = pytest.mark.usefixtures("patience")


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
        with monkeypatch.context() as broken:
            broken.setattr(GateDoor, "tell", fail)
            started = await lab.start(plan(lab.tenant_id))
            assert (await lab.end_of(started)).state.status is RunStatus.COMPLETE
        assert await activities(lab, started) == ["run_step"]
        following = await lab.start(plan(lab.tenant_id, note="next"))
        await lab.end_of(following)
    assert await activities(lab, following) == ["run_step"], "one that had to wait begins its record by itself"


@pytest.mark.parametrize("is_late", [False, True], ids=["cancelled", "too late"])
async def test_a_run_that_is_stopped_while_its_end_is_recorded_has_ended(lab: Lab, is_late: bool) -> None:
    async with with_gate(lab):
        held(lab, "done_1")
        started = await lab.start(replace(plan(lab.tenant_id), timeout_seconds=3.0 if is_late else PATIENCE_SECONDS))
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
        started = await lab.start(replace(plan(lab.tenant_id), timeout_seconds=3.0))
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
        before = deepcopy(lab.warehouse.records("pipeline_runs"))
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
