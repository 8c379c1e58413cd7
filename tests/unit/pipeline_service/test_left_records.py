"""The rows of a run's steps: each is added once and before the run's end, by the step itself or beside the one that follows, and whatever
becomes of that one; on a real engine."""

from dataclasses import replace

import pytest

from common.errors import JobAborted, Terminal, Transient
from pipeline_service import records_beside
from pipeline_service.going_on import plan_going_on
from pipeline_service.plan import PlanStatement
from pipeline_service.records import Records
from pipeline_service.run import RunStatus, StepStatus
from pipeline_service.step_result import AttemptRecord, RunRef
from pipeline_service.steps.attempt import Attempt
from pipeline_service.steps.conditions import Conditions
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.plans import plan, query_step, statement
from tests.unit.pipeline_service.recording import (
    PATIENCE_SECONDS,
    activities,
    chain,
    held,
    jobs,
    logged,
    once,
    step_status_is,
    with_gate,
)
from tests.unit.pipeline_service.spending import SIZE, per_run
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("patience")


async def test_a_step_that_another_follows_leaves_its_row_to_that_one_which_adds_it_beside_its_work(lab: Lab) -> None:
    async with with_gate(lab):
        held(lab, "b_stage_1")
        started = await lab.start(plan(lab.tenant_id, *chain(lab, "b", "c")))
        await until(lambda: "load_log1_1" in lab.warehouse.effects, PATIENCE_SECONDS)
        assert lab.warehouse.began["b_stage_1"].is_set()
        assert "b_stage_1" not in lab.warehouse.effects
        lab.warehouse.held["b_stage_1"].set()
        run = await lab.end_of(started)
    assert await activities(lab, started) == ["run_step"] * 3
    assert logged(lab, run) == once(load="COMPLETE", b="COMPLETE", c="COMPLETE")
    assert lab.warehouse.effects[-1] == "done_1"


async def test_a_row_says_the_same_whoever_adds_it(lab: Lab) -> None:
    async with with_gate(lab):
        alone = await lab.run(plan(lab.tenant_id))
        left = await lab.run(plan(lab.tenant_id, *chain(lab, "b")))
    by_itself, by_the_next = (
        next(
            row
            for row in lab.warehouse.records("step_logs")
            if row["pipeline_logging_id"] == run.pipeline_logging_id and row["step_id"] == "load"
        )
        for run in (alone, left)
    )
    of_this_run = {"pipeline_logging_id", "start_time", "end_time", "duration_ms", "job_id", "publish_job_id"}
    assert {name: type(value) for name, value in by_itself.items()} == {
        name: type(value) for name, value in by_the_next.items()
    }
    assert {name: value for name, value in by_itself.items() if name not in of_this_run} == {
        name: value for name, value in by_the_next.items() if name not in of_this_run
    }
    [step, _] = left.state.steps
    assert step.start_time is not None
    assert step.end_time is not None
    assert step.start_time <= by_the_next["start_time"] <= by_the_next["end_time"] <= step.end_time
    assert by_the_next["publish_job_id"] == step.publish_job_id


async def test_a_step_whose_follower_waits_for_another_adds_its_row_by_itself(lab: Lab) -> None:
    first, following = chain(lab, "b")
    lab.warehouse.selects["select third"] = []
    third = query_step(lab.tenant_id, "third")
    async with with_gate(lab):
        held(lab, "third_stage_1")
        joining = replace(following, depends_on=("load", "third"))
        started = await lab.start(plan(lab.tenant_id, first, third, joining))
        await step_status_is(lab, started, StepStatus.COMPLETE)
        assert "load_log1_1" in lab.warehouse.effects
        lab.warehouse.held["third_stage_1"].set()
        run = await lab.end_of(started)
    assert logged(lab, run) == once(load="COMPLETE", third="COMPLETE", b="COMPLETE")


async def test_a_step_whose_follower_asks_a_condition_first_adds_its_row_by_itself(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, following = chain(lab, "b")
    is_logged = []

    async def holds(_conditions: Conditions, _attempt: Attempt, _when: PlanStatement) -> bool:
        is_logged.append("load_log1_1" in lab.warehouse.effects)
        return True

    monkeypatch.setattr(Conditions, "holds", holds)
    async with with_gate(lab):
        run = await lab.run(plan(lab.tenant_id, first, replace(following, when=statement("select condition"))))
    assert is_logged == [True]
    assert logged(lab, run) == once(load="COMPLETE", b="COMPLETE")


async def test_within_a_budget_a_step_adds_its_row_by_itself(lab: Lab) -> None:
    parallel = per_run(lab, 10 * SIZE).plan("a", "b")
    first, second = parallel.steps
    chained = replace(parallel, steps=(first, replace(second, depends_on=("a",))))
    async with with_gate(lab):
        held(lab, "b_stage_1")
        started = await lab.start(chained)
        await step_status_is(lab, started, StepStatus.COMPLETE, "a")
        assert "a_log1_1" in lab.warehouse.effects
        lab.warehouse.held["b_stage_1"].set()
        run = await lab.end_of(started)
    assert "record_attempts" not in await activities(lab, started)
    assert logged(lab, run) == once(a="COMPLETE", b="COMPLETE")


async def test_a_retried_step_that_only_steps_of_the_run_before_followed_adds_its_row_by_itself(lab: Lab) -> None:
    chain(lab, "b")
    lab.warehouse.selects["select other"] = []
    steps = (
        replace(query_step(lab.tenant_id), on_failure="continue"),
        query_step(lab.tenant_id, "b", after=("load",)),
        query_step(lab.tenant_id, "other"),
    )
    async with with_gate(lab):
        lab.warehouse.failures |= {f"{step}_stage_1": Terminal("refused") for step in ("load", "other")}
        failed = await lab.run(plan(lab.tenant_id, *steps))
        assert [step.status for step in failed.state.steps] == [
            StepStatus.FAILED,
            StepStatus.COMPLETE,
            StepStatus.FAILED,
        ]
        lab.warehouse.failures.clear()
        held(lab, "other_stage_1")
        again = await plan_going_on(lab.engine, await lab.execution(failed.pipeline_logging_id))
        assert again is not None
        started = await lab.start(again)
        await step_status_is(lab, started, StepStatus.COMPLETE)
        assert lab.warehouse.effects[-1] == "load_log1_1"
        lab.warehouse.held["other_stage_1"].set()
        run = await lab.end_of(started)
    assert logged(lab, run) == once(load="COMPLETE", other="COMPLETE")


@pytest.mark.parametrize("error", [Transient("away"), RuntimeError("unforeseen")], ids=["away", "unforeseen"])
async def test_a_row_that_a_step_could_not_add_is_added_by_a_later_one(
    lab: Lab, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_attempt, told = Records.add_attempt, []

    async def fail_at_first(self: Records, run: RunRef, record: AttemptRecord, *, tries: int = 1) -> None:
        told.append(record.step_id)
        if told == ["load"]:
            raise error
        await add_attempt(self, run, record, tries=tries)

    async with with_gate(lab):
        monkeypatch.setattr(Records, "add_attempt", fail_at_first)
        started = await lab.start(plan(lab.tenant_id, *chain(lab, "b", "c", "d")))
        run = await lab.end_of(started)
    assert {step.attempts for step in run.state.steps} == {1}
    assert told == ["load", "load", "b", "c", "d"]
    assert await activities(lab, started) == ["run_step"] * 4
    assert logged(lab, run) == once(load="COMPLETE", b="COMPLETE", c="COMPLETE", d="COMPLETE")


async def test_a_row_that_no_step_had_the_tries_to_add_is_added_by_the_run(lab: Lab) -> None:
    async with with_gate(lab):
        lab.warehouse.failures |= {f"load_log1_{number}": JobAborted("a passing fault") for number in range(1, 6)}
        started = await lab.start(plan(lab.tenant_id, *chain(lab, "b")))
        run = await lab.end_of(started)
    assert await activities(lab, started) == ["run_step", "run_step", "record_attempts", "close_run"]
    assert jobs(lab) == ["begin_1", "end_1"]
    assert lab.warehouse.effects.index("load_log1_6") < lab.warehouse.effects.index("end_1")
    assert logged(lab, run) == once(load="COMPLETE", b="COMPLETE")


async def test_a_row_that_is_refused_keeps_no_other_from_being_added_and_does_not_fail_the_run(lab: Lab) -> None:
    async with with_gate(lab):
        refused = {f"load_log1_{number}": Terminal("refused") for number in range(1, 12)}
        lab.warehouse.failures |= refused
        held(lab, "b_log1_1")
        started = await lab.start(plan(lab.tenant_id, *chain(lab, "b", "c")))
        await lab.warehouse.began["b_log1_1"].wait()
        await lab.warehouse.began["load_log1_2"].wait()
        lab.warehouse.held["b_log1_1"].set()
        run = await lab.end_of(started)
    assert run.state.status is RunStatus.COMPLETE
    assert await activities(lab, started) == ["run_step", "run_step", "run_step", "record_attempts", "close_run"]
    assert jobs(lab) == ["begin_1", "end_1"]
    assert logged(lab, run) == once(b="COMPLETE", c="COMPLETE")


async def test_a_row_that_was_refused_once_is_added_by_a_later_step(lab: Lab) -> None:
    async with with_gate(lab):
        lab.warehouse.failures["load_log1_1"] = Terminal("refused")
        started = await lab.start(plan(lab.tenant_id, *chain(lab, "b", "c")))
        run = await lab.end_of(started)
    assert await activities(lab, started) == ["run_step"] * 3
    assert logged(lab, run) == once(load="COMPLETE", b="COMPLETE", c="COMPLETE")


async def test_a_row_that_takes_longer_than_the_next_step_waits_is_there_before_the_end(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records_beside, "PATIENCE_SECONDS", 0.1)
    async with with_gate(lab):
        held(lab, "load_log1_1")
        started = await lab.start(plan(lab.tenant_id, *chain(lab, "b")))
        await step_status_is(lab, started, StepStatus.COMPLETE, "b")
        assert not logged(lab, (await lab.execution(started.pipeline_logging_id)).run)["load", "COMPLETE"]
        lab.warehouse.held["load_log1_1"].set()
        run = await lab.end_of(started)
    assert logged(lab, run) == once(load="COMPLETE", b="COMPLETE")
    assert lab.warehouse.effects[-2:] == ["load_log1_1", "end_1"]
    assert await activities(lab, started) == ["run_step", "run_step", "record_attempts", "close_run"]
