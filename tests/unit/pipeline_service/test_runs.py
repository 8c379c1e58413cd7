"""What a run does to the warehouse and what it says of itself, on a real engine."""

from dataclasses import replace

import pytest

from common.errors import JobAborted, TenantSuspended, Terminal
from common.warehouse.warehouse import TableRef
from pipeline_service.run import RunError, RunStatus, StepStatus
from pipeline_service.temporal_connection import connect
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.fake_warehouse import DAY
from tests.unit.pipeline_service.plans import check, dq_step, plan, query_step, with_timeout


async def test_a_run_stages_checks_publishes_and_records(lab: Lab) -> None:
    tenant = lab.tenant_id
    steps = (
        query_step(tenant, checks=(check("ok"),)),
        dq_step(tenant, "load_table", after=("load",), checks=(check("ok"),)),
    )
    async with lab.worker():
        run = await lab.run(plan(tenant, *steps))
    assert run.state.status is RunStatus.COMPLETE
    assert [step.status for step in run.state.steps] == [StepStatus.COMPLETE] * 2
    assert run.state.steps[0].rows_written == 1
    assert run.state.steps[0].destination_table == "load_table"
    assert [outcome.name for step in run.state.steps for outcome in step.checks] == ["ok", "ok"]
    assert lab.warehouse.tables[f"{tenant}.load_table"] == [{"day": DAY, "service": "compute", "cost": 1}]
    assert [row["status"] for row in lab.warehouse.records("pipeline_runs")] == ["COMPLETE"]
    assert [row["step_id"] for row in lab.warehouse.records("step_logs")] == ["load", "verify"]
    assert [row["check_name"] for row in lab.warehouse.records("dq_results")] == ["ok", "ok"]
    assert not [table for table in lab.warehouse.tables if "_stage_" in table]


async def test_a_failed_error_check_leaves_the_published_partition(lab: Lab) -> None:
    published = f"{lab.tenant_id}.load_table"
    lab.warehouse.tables[published] = before = [{"day": DAY, "service": "storage"}]
    async with lab.worker():
        run = await lab.run(plan(lab.tenant_id, query_step(lab.tenant_id, checks=(check("ok"), check("bad")))))
    assert run.state.status is RunStatus.FAILED
    assert run.state.error == RunError("CHECK_FAILED", "Checks failed: bad", "load")
    assert [(outcome.name, outcome.passed) for outcome in run.state.steps[0].checks] == [("ok", True), ("bad", False)]
    assert run.state.steps[0].rows_written == 0
    assert lab.warehouse.tables[published] == before
    assert [row["passed"] for row in lab.warehouse.records("dq_results")] == [True, False]


async def test_a_failed_warning_is_recorded_and_publishes(lab: Lab) -> None:
    async with lab.worker():
        run = await lab.run(plan(lab.tenant_id, query_step(lab.tenant_id, checks=(check("bad", "warn"),))))
    assert run.state.status is RunStatus.COMPLETE
    assert not run.state.steps[0].checks[0].passed
    assert f"{lab.tenant_id}.load_table" in lab.warehouse.tables


async def test_an_aborted_job_costs_an_attempt_and_is_tried_again(lab: Lab) -> None:
    lab.warehouse.failures["load_stage_1"] = JobAborted("lost against a concurrent job")
    async with lab.worker():
        run = await lab.run(plan(lab.tenant_id))
    assert run.state.status is RunStatus.COMPLETE
    assert run.state.steps[0].attempts == 2
    assert [(row["attempt"], row["status"]) for row in lab.warehouse.records("step_logs")] == [
        (1, "FAILED"),
        (2, "COMPLETE"),
    ]


async def test_a_refused_statement_is_not_repeated_and_what_depends_on_it_is_skipped(lab: Lab) -> None:
    lab.warehouse.failures["load_stage_1"] = Terminal("too dear", reason="BYTES_BILLED_LIMIT")
    later = dq_step(lab.tenant_id, "load_table", after=("load",), checks=(check("ok"),))
    async with lab.worker():
        run = await lab.run(plan(lab.tenant_id, query_step(lab.tenant_id), later))
    assert run.state.status is RunStatus.FAILED
    assert run.state.error == RunError("BYTES_BILLED_LIMIT", "too dear", "load")
    assert [step.status for step in run.state.steps] == [StepStatus.FAILED, StepStatus.SKIPPED]
    assert run.state.steps[0].attempts == 1
    assert [row["error_reason"] for row in lab.warehouse.records("pipeline_runs")] == ["BYTES_BILLED_LIMIT"]


async def test_what_nobody_foresaw_shows_an_id_and_never_its_own_text(lab: Lab) -> None:
    lab.warehouse.selects.clear()  # the fake raises KeyError
    async with lab.worker():
        run = await lab.run(plan(lab.tenant_id))
    assert run.state.error is not None
    assert run.state.error.reason == "INTERNAL"
    assert "select load" not in run.state.error.message


async def test_a_step_that_exceeds_its_timeout_fails_and_its_job_is_cancelled(lab: Lab) -> None:
    lab.warehouse.held["load_stage_1"].clear()
    async with lab.worker():
        run = await lab.run(plan(lab.tenant_id, with_timeout(query_step(lab.tenant_id), 0.3)))
    assert run.state.error is not None
    assert run.state.error.reason == "STEP_TIMEOUT"
    assert lab.warehouse.cancelled == ["load_stage_1"]


async def test_independent_steps_run_at_the_same_time(lab: Lab) -> None:
    lab.warehouse.selects |= {"select one": [], "select two": []}
    for job in ("one_stage_1", "two_stage_1"):
        lab.warehouse.held[job].clear()
    async with lab.worker():
        started = await lab.start(plan(lab.tenant_id, *(query_step(lab.tenant_id, name) for name in ("one", "two"))))
        for job in ("one_stage_1", "two_stage_1"):
            await lab.warehouse.began[job].wait()
        for job in ("one_stage_1", "two_stage_1"):
            lab.warehouse.held[job].set()
        assert (await lab.end_of(started)).state.status is RunStatus.COMPLETE


async def test_a_passing_fault_is_tried_as_often_as_the_step_says(lab: Lab) -> None:
    for number in range(1, 4):
        lab.warehouse.failures[f"load_stage_{number}"] = JobAborted("lost against a concurrent job")
    async with lab.worker():
        run = await lab.run(plan(lab.tenant_id, replace(query_step(lab.tenant_id), max_attempts=2)))
    assert run.state.error is not None
    assert run.state.error.reason == "DEPENDENCY_UNAVAILABLE"
    assert run.state.steps[0].attempts == 2


async def test_a_step_goes_on_in_another_worker_without_doing_anything_twice(lab: Lab, temporal_address: str) -> None:
    lab.warehouse.held["load_stage_1"].clear()
    async with lab.worker():
        started = await lab.start(plan(lab.tenant_id, replace(query_step(lab.tenant_id), max_attempts=1)))
        await lab.warehouse.began["load_stage_1"].wait()
    async with lab.worker(await connect(temporal_address, namespace="default")):
        lab.warehouse.held["load_stage_1"].set()
        run = await lab.end_of(started)
    assert run.state.status is RunStatus.COMPLETE
    assert run.state.steps[0].attempts == 2
    assert lab.warehouse.cancelled == []
    assert [effect for effect in lab.warehouse.effects if "stage" in effect or "publish" in effect] == [
        "load_stage_1",
        "load_publish_1",
    ]


async def test_an_attempt_that_died_after_publishing_is_completed_with_the_outcomes_that_it_recorded(lab: Lab) -> None:
    outcomes = iter([True])  # A second measurement would fail.
    lab.warehouse.measures["measure once"] = lambda _: {
        "passed": next(outcomes),
        "failing_rows": 0,
        "observed": "1",
        "expected": "1",
    }
    for number in range(1, 6):
        lab.warehouse.failures[f"load_log1_{number}"] = JobAborted("the attempt cannot tell what it did")
    async with lab.worker():
        run = await lab.run(plan(lab.tenant_id, query_step(lab.tenant_id, checks=(check("once"),))))
    assert run.state.status is RunStatus.COMPLETE
    assert run.state.steps[0].attempts == 2
    assert run.state.steps[0].checks[0].observed == "1"
    assert lab.warehouse.effects.count("load_publish_1") == 1
    assert len(lab.warehouse.records("dq_results")) == 1


async def test_outcomes_whose_record_comes_through_late_stand_against_those_measured_again(
    lab: Lab, temporal_address: str
) -> None:
    lab.warehouse.tables[f"{lab.tenant_id}.dq_results"] = []
    record = lab.warehouse.held["load_checks_1"]
    measured: list[bool] = []

    def measure(_: object) -> dict[str, object]:
        measured.append(not measured)
        if len(measured) > 1:
            record.set()  # after the second attempt has found nothing recorded
        return {"passed": measured[-1], "failing_rows": 0, "observed": None, "expected": None}

    lab.warehouse.measures["measure once"] = measure
    record.clear()
    async with lab.worker():
        started = await lab.start(plan(lab.tenant_id, query_step(lab.tenant_id, checks=(check("once"),))))
        await lab.warehouse.began["load_checks_1"].wait()
    async with lab.worker(await connect(temporal_address, namespace="default")):
        run = await lab.end_of(started)
    assert measured == [True, False]
    assert run.state.status is RunStatus.COMPLETE
    assert run.state.steps[0].checks[0].passed
    assert [row["passed"] for row in lab.warehouse.records("dq_results")] == [True]


@pytest.mark.parametrize(
    ("ending", "failing"), [("done_1", ()), ("end_1", ("done_1",))], ids=["with its step", "by itself"]
)
async def test_a_run_shows_its_terminal_state_only_once_it_is_recorded(
    lab: Lab, ending: str, failing: tuple[str, ...]
) -> None:
    lab.warehouse.failures |= dict.fromkeys(failing, Terminal("refused"))
    lab.warehouse.held[ending].clear()
    async with lab.worker():
        started = await lab.start(plan(lab.tenant_id))
        await lab.warehouse.began[ending].wait()
        waiting = (await lab.execution(started.pipeline_logging_id)).run
        assert waiting.state.status is RunStatus.RUNNING
        assert (waiting.state.steps[0].status is StepStatus.COMPLETE) is (ending == "end_1")
        lab.warehouse.held[ending].set()
        assert (await lab.end_of(started)).state.status is RunStatus.COMPLETE


async def test_a_suspended_tenant_sees_its_running_runs_through(lab: Lab) -> None:
    lab.tenants.problem = TenantSuspended()
    async with lab.worker():
        assert (await lab.run(plan(lab.tenant_id))).state.status is RunStatus.COMPLETE


async def test_a_step_whose_grant_was_taken_back_does_not_run(lab: Lab) -> None:
    step = query_step(lab.tenant_id)
    assert step.query is not None
    reads = replace(step.query, select=replace(step.query.select, tables=(TableRef("other", "export"),)))
    async with lab.worker():
        run = await lab.run(plan(lab.tenant_id, replace(step, query=reads)))
    assert run.state.error is not None
    assert run.state.error.reason == "TABLE_NOT_ALLOWED"
    assert "load_stage_1" not in lab.warehouse.effects


async def test_a_run_cancelled_in_the_engine_cancels_its_job_and_is_recorded(lab: Lab) -> None:
    lab.warehouse.held["load_stage_1"].clear()
    the_plan = plan(lab.tenant_id)
    async with lab.worker():
        started = await lab.start(the_plan)
        await lab.warehouse.began["load_stage_1"].wait()
        await lab.client.get_workflow_handle(lab.workflow_id(the_plan)).cancel()
        run = await lab.end_of(started)
    assert run.state.status is RunStatus.CANCELLED
    assert run.state.steps[0].status is StepStatus.CANCELLED
    assert lab.warehouse.cancelled == ["load_stage_1"]
    assert [row["status"] for row in lab.warehouse.records("pipeline_runs")] == ["CANCELLED"]


async def test_a_run_terminated_in_the_engine_is_shown_as_cancelled(lab: Lab) -> None:
    the_plan = plan(lab.tenant_id)
    started = await lab.start(the_plan)  # no worker
    await lab.client.get_workflow_handle(lab.workflow_id(the_plan)).terminate()
    run = await lab.end_of(started)
    assert run.state.status is RunStatus.CANCELLED
    assert run.state.steps[0].status is StepStatus.CANCELLED
