"""The rows that a run's steps leave to the next while something goes wrong with the run, a step or its worker: each is added once and
before the run's end; on a real engine."""

from collections import Counter
from datetime import timedelta

import pytest

from common.errors import JobAborted, Terminal
from pipeline_service import heartbeat, records_beside, step_activities
from pipeline_service.engine import Started
from pipeline_service.run import RunStatus, StepStatus
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.plans import plan
from tests.unit.pipeline_service.recording import (
    PATIENCE_SECONDS,
    activities,
    chain,
    held,
    jobs,
    logged,
    once,
    scheduled,
    was_asked_to_stop,
    with_gate,
)
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("patience")


async def test_a_step_that_fails_has_added_the_row_of_the_one_before(lab: Lab) -> None:
    async with with_gate(lab):
        lab.warehouse.failures["b_stage_1"] = Terminal("refused")
        started = await lab.start(plan(lab.tenant_id, *chain(lab, "b")))
        run = await lab.end_of(started)
    assert run.state.status is RunStatus.FAILED
    assert await activities(lab, started) == ["run_step", "run_step", "close_run"]
    assert logged(lab, run) == once(load="COMPLETE", b="FAILED")


async def test_a_step_that_is_attempted_again_adds_the_row_of_the_one_before_no_second_time(lab: Lab) -> None:
    async with with_gate(lab):
        lab.warehouse.failures["b_stage_1"] = JobAborted("a passing fault")
        run = await lab.run(plan(lab.tenant_id, *chain(lab, "b")))
    assert (run.state.status, run.state.steps[1].attempts) == (RunStatus.COMPLETE, 2)
    assert logged(lab, run) == once(load="COMPLETE") + Counter({("b", "FAILED"): 1, ("b", "COMPLETE"): 1})


async def test_a_step_that_is_taken_over_by_another_worker_adds_the_row_before_no_second_time(lab: Lab) -> None:
    async with with_gate(lab):
        held(lab, "b_stage_1")
        started = await lab.start(plan(lab.tenant_id, *chain(lab, "b")))
        await lab.warehouse.began["b_stage_1"].wait()
        await until(lambda: "load_log1_1" in lab.warehouse.effects, PATIENCE_SECONDS)
    lab.warehouse.held["b_stage_1"].set()
    async with lab.worker():
        run = await lab.end_of(started)
    assert run.state.status is RunStatus.COMPLETE
    assert logged(lab, run) == once(load="COMPLETE", b="COMPLETE")


async def test_a_run_that_is_cancelled_in_the_step_that_was_to_add_a_row_adds_that_by_itself(lab: Lab) -> None:
    async with with_gate(lab):
        held(lab, "b_stage_1")
        held(lab, "load_log1_1")
        started = await lab.start(plan(lab.tenant_id, *chain(lab, "b")))
        await lab.warehouse.began["b_stage_1"].wait()
        await lab.engine.cancel((await lab.execution(started.pipeline_logging_id)).active_run)
        await scheduled(lab, started, "record_attempts")
        assert jobs(lab) == ["begin_1"]
        lab.warehouse.held["load_log1_1"].set()
        run = await lab.end_of(started)
    assert run.state.status is RunStatus.CANCELLED
    assert await activities(lab, started) == ["run_step", "run_step", "record_attempts", "close_run"]
    assert logged(lab, run) == once(load="COMPLETE")


async def second_step_done(lab: Lab) -> Started:
    """A run whose second step has published, and waits for the row of the first, which takes long."""
    held(lab, "load_log1_1")
    started = await lab.start(plan(lab.tenant_id, *chain(lab, "b", "c")))
    await until(lambda: "b_publish_1" in lab.warehouse.effects, PATIENCE_SECONDS)
    return started


async def test_a_step_that_is_done_as_its_run_is_cancelled_leaves_its_row_to_the_run(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records_beside, "PATIENCE_SECONDS", PATIENCE_SECONDS)
    async with with_gate(lab):
        started = await second_step_done(lab)
        await lab.engine.cancel((await lab.execution(started.pipeline_logging_id)).active_run)
        await scheduled(lab, started, "record_attempts")
        lab.warehouse.held["load_log1_1"].set()
        run = await lab.end_of(started)
    assert run.state.status is RunStatus.CANCELLED
    assert [step.status for step in run.state.steps] == [
        StepStatus.COMPLETE,
        StepStatus.COMPLETE,
        StepStatus.CANCELLED,
    ]
    assert await activities(lab, started) == ["run_step", "run_step", "record_attempts", "close_run"]
    assert logged(lab, run) == once(load="COMPLETE", b="COMPLETE")


async def test_a_step_that_is_done_as_its_worker_shuts_down_is_not_executed_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records_beside, "PATIENCE_SECONDS", PATIENCE_SECONDS)
    async with with_gate(lab):
        started = await second_step_done(lab)
    lab.warehouse.held["load_log1_1"].set()
    async with lab.worker():
        run = await lab.end_of(started)
    assert run.state.status is RunStatus.COMPLETE
    assert {step.attempts for step in run.state.steps} == {1}
    assert logged(lab, run) == once(load="COMPLETE", b="COMPLETE", c="COMPLETE")


async def test_a_step_that_publishes_as_its_run_is_cancelled_leaves_its_row_to_the_run(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "HEARTBEAT_SECONDS", PATIENCE_SECONDS)  # the step does not hear of it
    monkeypatch.setattr(step_activities, "HEARTBEAT_TIMEOUT", timedelta(seconds=PATIENCE_SECONDS))
    async with with_gate(lab):
        held(lab, "load_publish_1")
        started = await lab.start(plan(lab.tenant_id, *chain(lab, "b")))
        await lab.warehouse.began["load_publish_1"].wait()
        await lab.engine.cancel((await lab.execution(started.pipeline_logging_id)).active_run)
        await was_asked_to_stop(lab, started)
        lab.warehouse.held["load_publish_1"].set()
        run = await lab.end_of(started)
    assert run.state.status is RunStatus.CANCELLED
    assert await activities(lab, started) == ["run_step", "record_attempts", "close_run"]
    assert [step.status for step in run.state.steps] == [StepStatus.COMPLETE, StepStatus.CANCELLED]
    assert logged(lab, run) == once(load="COMPLETE")
    assert jobs(lab) == ["begin_1", "end_1"]
