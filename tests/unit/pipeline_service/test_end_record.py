"""A run's end is recorded by the activity of its last step where that succeeds: once, after its begin, and whatever becomes of the record;
on a real engine."""

from dataclasses import replace
from datetime import timedelta
from unittest.mock import Mock

import pytest

from common.clock import Clock, SystemClock
from common.templates.resolved import ResolvedStep
from common.warehouse.warehouse import Warehouse
from pipeline_service.end_record import EndRecord
from pipeline_service.gate_door import GateDoor
from pipeline_service.gate_messages import Limits
from pipeline_service.records import Records
from pipeline_service.run import RunStatus, StepStatus
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.plans import plan, query_step, statement
from tests.unit.pipeline_service.recording import activities, held, jobs, recorded, step_status_is, with_gate

pytestmark = pytest.mark.usefixtures("patience")


def held_step(lab: Lab, step_id: str) -> ResolvedStep:
    """A step that stages its rows once the test says so."""
    lab.warehouse.selects[f"select {step_id}"] = []
    held(lab, f"{step_id}_stage_1")
    return query_step(lab.tenant_id, step_id)


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
    make, behind = EndRecord.__init__, Mock(now=lambda: SystemClock().now() - timedelta(hours=1))

    def with_clock_behind(self: EndRecord, records: Records, warehouse: Warehouse, door: GateDoor, _: Clock) -> None:
        make(self, records, warehouse, door, behind)

    monkeypatch.setattr(EndRecord, "__init__", with_clock_behind)
    async with with_gate(lab):
        run = await lab.run(plan(lab.tenant_id))
    assert run.state.end_time is not None
    assert run.state.steps[0].start_time is not None
    assert run.state.end_time >= run.state.steps[0].start_time
    assert jobs(lab) == ["begin_1", "done_1"]
