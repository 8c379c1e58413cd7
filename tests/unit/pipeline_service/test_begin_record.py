"""A run's begin is recorded beside its first step: once, before its end, and whatever becomes of the step; on a real engine."""

from dataclasses import replace

import pytest

from common.errors import Terminal
from pipeline_service import records_beside
from pipeline_service.engine import Started
from pipeline_service.gate_messages import Limits
from pipeline_service.plan import Plan
from pipeline_service.run import RunStatus, StepStatus
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.plans import plan, query_step, statement
from tests.unit.pipeline_service.recording import activities, held, jobs, recorded, step_status_is, with_gate
from tests.waiting import until

PATIENCE_SECONDS = 60.0

pytestmark = pytest.mark.usefixtures("patience")


async def test_a_run_that_need_not_wait_begins_its_record_without_an_activity_more(lab: Lab) -> None:
    async with with_gate(lab):
        started = await lab.start(plan(lab.tenant_id))
        run = await lab.end_of(started)
    assert await activities(lab, started) == ["run_step"]
    assert jobs(lab) == ["begin_1", "done_1"]
    assert recorded(lab, run) == ["COMPLETE"]


async def test_the_row_is_there_while_the_first_step_is_under_way(lab: Lab) -> None:
    lab.warehouse.held["load_stage_1"].set()
    async with with_gate(lab):
        lab.warehouse.held["load_stage_1"].clear()
        started = await lab.start(plan(lab.tenant_id))
        await until(lambda: jobs(lab) == ["begin_1"], PATIENCE_SECONDS)
        lab.warehouse.held["load_stage_1"].set()
        await lab.end_of(started)


@pytest.mark.parametrize("kind", ["a condition", "two roots, of which the first has a condition"])
async def test_a_run_whose_first_activity_is_another_begins_its_record_by_itself(lab: Lab, kind: str) -> None:
    lab.warehouse.selects |= {"select condition": [{"decision": True}], "select other": []}
    steps = [replace(query_step(lab.tenant_id), when=statement("select condition"))]
    if kind != "a condition":
        steps.append(query_step(lab.tenant_id, "other"))
    async with with_gate(lab):
        started = await lab.start(plan(lab.tenant_id, *steps))
        run = await lab.end_of(started)
    assert run.state.status is RunStatus.COMPLETE
    assert (await activities(lab, started)).count("begin_run") == 1
    assert [job for job in jobs(lab) if "begin" in job] == jobs(lab)[:1] == ["begin_1"]
    assert recorded(lab, run) == ["COMPLETE"]


async def test_the_begin_of_a_run_that_waits_has_a_turn_besides_that_of_its_tenants_steps(lab: Lab) -> None:
    lab.limit(Limits(per_tenant=1, per_template=1))
    async with with_gate(lab):
        held(lab, "load_stage_1")
        first, second = [await lab.start(plan(lab.tenant_id, note=note)) for note in ("first", "second")]
        await until(lambda: jobs(lab) == ["begin_1", "begin_1"], PATIENCE_SECONDS)
        lab.warehouse.held["load_stage_1"].set()
        for started in (first, second):
            await lab.end_of(started)
    assert await turns(lab, second) == {"begin_run": f"{lab.tenant_id}/records", "run_step": lab.tenant_id}


async def turns(lab: Lab, started: Started) -> dict[str, str]:
    """In whose turn each activity of the run was, that of its workflow where it has none of its own."""
    execution = await lab.execution(started.pipeline_logging_id)
    history = await lab.client.get_workflow_handle(execution.workflow_id).fetch_history()
    own = history.events[0].workflow_execution_started_event_attributes.priority.fairness_key
    scheduled = [event.activity_task_scheduled_event_attributes for event in history.events]
    return {one.activity_type.name: one.priority.fairness_key or own for one in scheduled if one.activity_type.name}


@pytest.mark.parametrize("error", [Terminal("refused"), RuntimeError("unforeseen")], ids=["refused", "unforeseen"])
async def test_a_begin_that_cannot_be_recorded_does_not_fail_the_step(lab: Lab, error: Exception) -> None:
    async with with_gate(lab):
        lab.warehouse.failures["begin_1"] = error
        started = await lab.start(plan(lab.tenant_id))
        await until(lambda: "load_log1_1" in lab.warehouse.effects, PATIENCE_SECONDS)
        lab.warehouse.failures.clear()
        run = await lab.end_of(started)
    assert run.state.status is RunStatus.COMPLETE
    assert run.state.steps[0].attempts == 1
    assert "begin_run" in await activities(lab, started), "which has all the patience that there is"
    assert recorded(lab, run) == ["COMPLETE"]


async def test_the_end_is_recorded_after_a_begin_that_takes_longer_than_the_step_waits(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records_beside, "PATIENCE_SECONDS", 0.1)
    async with with_gate(lab):
        lab.warehouse.held["begin_1"].clear()
        started = await lab.start(plan(lab.tenant_id))
        await step_status_is(lab, started, StepStatus.COMPLETE)
        assert not jobs(lab)
        lab.warehouse.held["begin_1"].set()
        run = await lab.end_of(started)
    assert jobs(lab) == ["begin_1", "end_1"]
    assert recorded(lab, run) == ["COMPLETE"]


async def test_a_step_that_is_taken_over_by_another_worker_begins_the_record_no_second_time(lab: Lab) -> None:
    async with with_gate(lab):
        lab.warehouse.held["load_stage_1"].clear()
        started = await lab.start(plan(lab.tenant_id))
        await until(lambda: jobs(lab) == ["begin_1"], PATIENCE_SECONDS)
        await lab.warehouse.began["load_stage_1"].wait()
    lab.warehouse.held["load_stage_1"].set()
    async with lab.worker():
        run = await lab.end_of(started)
    assert run.state.status is RunStatus.COMPLETE
    assert jobs(lab) == ["begin_1", "end_1"]
    assert recorded(lab, run) == ["COMPLETE"]


@pytest.mark.parametrize("is_held", [False, True], ids=["begun", "begin under way"])
async def test_a_run_that_is_cancelled_in_its_first_step_has_its_begin_and_its_end_recorded_once(
    lab: Lab, is_held: bool
) -> None:
    async with with_gate(lab):
        lab.warehouse.began.clear()
        lab.warehouse.held["load_stage_1"].clear()
        if is_held:
            lab.warehouse.held["begin_1"].clear()
        started = await lab.start(plan(lab.tenant_id))
        await lab.warehouse.began["load_stage_1"].wait()
        await lab.warehouse.began["begin_1"].wait()
        await lab.engine.cancel((await lab.execution(started.pipeline_logging_id)).active_run)
        if is_held:
            await until(lambda: "load_stage_1" in lab.warehouse.cancelled, PATIENCE_SECONDS)
            lab.warehouse.held["begin_1"].set()
        run = await lab.end_of(started)
    assert run.state.status is RunStatus.CANCELLED
    assert jobs(lab) == ["begin_1", "end_1"]
    assert recorded(lab, run) == ["CANCELLED"]


def _failing(lab: Lab) -> Plan:
    return plan(lab.tenant_id, query_step(lab.tenant_id, "unknown"))


async def test_a_first_step_that_fails_has_begun_the_record_all_the_same(lab: Lab) -> None:
    async with with_gate(lab):
        started = await lab.start(_failing(lab))
        run = await lab.end_of(started)
    assert run.state.status is RunStatus.FAILED
    assert await activities(lab, started) == ["run_step", "close_run"]
    assert jobs(lab) == ["begin_1", "end_1"]
