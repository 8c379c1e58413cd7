"""PipelineService over a real connection: a template's way from RunTemplate to the rows that it publishes, on both warehouses."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from common.warehouse.warehouse import TableRef, Warehouse
from convergence.errors.v1 import error_reason_pb2
from convergence.pipeline.v1 import pipeline_service_pb2 as pb2
from convergence.pipeline.v1 import run_pb2
from tests.rpc.pipeline_stack import DAY, PipelineStack, pipeline_stack
from tests.rpc.statuses import refused
from tests.rpc.tenant_stack import ADMIN, as_key, tenant_stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

COMPUTE = {"day": DAY, "service": "compute", "cost": "1.123456789", "items": "3", "billed": True, "ratio": 0.5}
STORAGE = {"day": DAY, "service": "storage", "cost": "2", "items": "4", "billed": False, "ratio": 1.5}
NEXT_DAY = {"day": "2025-11-16", "service": "compute", "cost": "8", "items": "5", "billed": None, "ratio": 2.5}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(
    shared_warehouse: Warehouse, shared_folder: Path, temporal_address: str
) -> AsyncIterator[PipelineStack]:
    async with (
        tenant_stack(shared_folder, shared_warehouse) as tenants,
        pipeline_stack(shared_folder, shared_warehouse, tenants, temporal_address) as running,
    ):
        yield running


async def test_a_run_publishes_its_day_and_tells_of_every_step_and_check(stack: PipelineStack) -> None:
    tenant_id, key = await stack.onboard()
    started = await stack.start(tenant_id, key, trigger_by="a test", parameters={"note": "hello"})
    assert started.message == "Templated pipeline triggered successfully"
    assert started.pipeline_id == f"{tenant_id}-gcp-test-daily"
    assert (started.status, started.already_running) == (run_pb2.Run.PENDING, False)
    watch = pb2.WatchRunRequest(pipeline_logging_id=started.pipeline_logging_id)
    seen = [run async for run in stack.stub.WatchRun(watch, metadata=key, timeout=60)]
    run = await stack.stub.GetRun(
        pb2.GetRunRequest(pipeline_logging_id=started.pipeline_logging_id), metadata=key, timeout=10
    )
    assert seen[-1] == run
    assert run.status == run_pb2.Run.COMPLETE, run
    assert (run.tenant_id, run.trigger_by, dict(run.parameters)) == (
        tenant_id,
        "a test",
        {"date": DAY, "note": "hello"},
    )
    assert run.create_time.ToDatetime() <= run.start_time.ToDatetime() <= run.end_time.ToDatetime()
    assert [(step.step_id, step.status, step.rows_written, step.attempts) for step in run.steps] == [
        ("load", run_pb2.Step.COMPLETE, 2, 1),
        ("verify", run_pb2.Step.COMPLETE, 0, 1),
    ]
    assert all(check.passed for step in run.steps for check in step.checks)
    assert [check.name for check in run.steps[1].checks][-1] == "total"
    assert run.steps[1].checks[-1].observed == run.steps[1].checks[-1].expected != ""
    assert await stack.rows(tenant_id, key) == [COMPUTE, STORAGE]


async def test_values_of_any_type_reach_the_table_as_they_were_given(stack: PipelineStack) -> None:
    tenant_id, key = await stack.onboard(export=False)
    given = {"at": "2025-11-15 23:59:59.5", "filter": '{"b": [1, 0.5], "a": "it\'s"}', "share": "0.250"}
    run = await stack.run(tenant_id, key, "typed", date="", parameters=given)
    assert run.status == run_pb2.Run.COMPLETE, run
    as_text = {
        "at": "2025-11-15T23:59:59.500000",
        "filter": '{"a":"it\'s","b":[1,0.5]}',
        "kind": "full",
        "share": "0.25",
    }
    assert run.parameters == as_text
    assert await stack.rows(tenant_id, key, "given") == [{**as_text, "region": None}]


async def test_a_day_run_twice_has_the_same_rows_and_other_days_stay(stack: PipelineStack) -> None:
    tenant_id, key = await stack.onboard()
    for day in (DAY, "2025-11-16", DAY):
        assert (await stack.run(tenant_id, key, date=day)).status == run_pb2.Run.COMPLETE
    assert await stack.rows(tenant_id, key) == [COMPUTE, STORAGE, NEXT_DAY]
    assert await stack.rows(tenant_id, key, start_date="2025-11-16") == [NEXT_DAY]
    assert await stack.rows(tenant_id, key, end_date=DAY, page_size=1) == [COMPUTE, STORAGE]
    assert await stack.rows(tenant_id, key, start_date="2026-01-01") == []


async def test_a_failed_check_leaves_the_published_day_and_says_why(stack: PipelineStack) -> None:
    tenant_id, key = await stack.onboard()
    await stack.run(tenant_id, key)
    run = await stack.run(tenant_id, key, "strict")
    assert run.status == run_pb2.Run.FAILED
    assert (run.error.reason, run.error.step_id) == (error_reason_pb2.CHECK_FAILED, "load")
    assert not run.steps[0].checks[0].passed
    assert run.steps[0].checks[0].observed == "2"
    assert await stack.rows(tenant_id, key) == [COMPUTE, STORAGE]


async def test_a_request_id_gives_the_first_answer_again_and_refuses_another_request(stack: PipelineStack) -> None:
    tenant_id, key = await stack.onboard()
    request_id = str(uuid.uuid4())
    first = await stack.start(tenant_id, key, request_id=request_id)
    assert await stack.start(tenant_id, key, request_id=request_id) == first
    await stack.end_of(key, first.pipeline_logging_id)
    await stack.run(tenant_id, key)
    assert await stack.start(tenant_id, key, request_id=request_id) == first
    refusal = await refused(stack.start(tenant_id, key, date="2025-11-16", request_id=request_id))
    assert (refusal.code, refusal.reason, refusal.fields) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED", ("request_id",))


async def test_a_pipeline_id_runs_its_template(stack: PipelineStack) -> None:
    tenant_id, key = await stack.onboard()
    request = pb2.RunPipelineRequest(pipeline_id=f"{tenant_id}-gcp-test-daily", date=DAY)
    by_pipeline = await stack.stub.RunPipeline(request, metadata=key, timeout=30)
    assert by_pipeline.pipeline_id == request.pipeline_id
    assert (await stack.start(tenant_id, key)).pipeline_id == request.pipeline_id


async def test_a_run_is_recorded_for_its_tenant(stack: PipelineStack) -> None:
    tenant_id, key = await stack.onboard()
    run = await stack.run(tenant_id, key)
    for table, rows in (("pipeline_runs", 1), ("step_logs", 2), ("dq_results", 4)):
        found = await stack.warehouse.list_rows(TableRef(tenant_id, table))
        assert len(found) == rows, table
        assert {row["pipeline_logging_id"] for row in found} == {run.pipeline_logging_id}


async def test_a_run_superseded_by_another_is_still_read_in_full(stack: PipelineStack) -> None:
    tenant_id, key = await stack.onboard()
    first = await stack.run(tenant_id, key)
    await stack.run(tenant_id, key)
    again = await stack.stub.GetRun(
        pb2.GetRunRequest(pipeline_logging_id=first.pipeline_logging_id), metadata=key, timeout=10
    )
    assert again == first


async def test_an_admin_who_names_no_tenant_that_exists_finds_no_run(stack: PipelineStack) -> None:
    run_id, tenant_id = str(uuid.uuid4()), f"t_{uuid.uuid4().hex[:16]}"
    run_id = f"{run_id[:14]}8{run_id[15:]}"  # shaped like an id of ours
    for call in (
        stack.stub.GetRun(
            pb2.GetRunRequest(pipeline_logging_id=run_id, tenant_id=tenant_id),
            metadata=as_key(ADMIN.reveal()),
            timeout=20,
        ),
        stack.stub.WatchRun(
            pb2.WatchRunRequest(pipeline_logging_id=run_id, tenant_id=tenant_id),
            metadata=as_key(ADMIN.reveal()),
            timeout=20,
        ),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == ("NOT_FOUND", "RUN_NOT_FOUND")
