"""RetryRun over a real connection and on both warehouses: a new run goes on where the failed one stopped, with its plan and its date."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from common.warehouse.warehouse import QueryJob, Statement, TableRef, Warehouse
from convergence.pipeline.v1 import pipeline_service_pb2 as pb2
from convergence.pipeline.v1 import run_pb2
from tests.rpc.pipeline_stack import DAY, TEMPLATES, PipelineStack, configs_with, pipeline_stack
from tests.rpc.statuses import refused
from tests.rpc.tenant_stack import tenant_stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

RESUMABLE = """
description: Fails until its source has many rows
parameters:
  date: {type: date, default: "{yesterday}"}
steps:
  - id: first
    type: query
    sql: SELECT COUNT(*) AS rows_seen FROM `{source.export}`
    destination: {table: first_table, write: replace_table}
  - id: second
    type: query
    sql: SELECT * FROM `{source.export}`
    destination: {table: second_table, write: replace_table}
    checks: [{type: row_count, min: 4}]
  - id: third
    type: query
    sql: SELECT COUNT(*) AS rows_seen FROM `{tenant_id}.second_table`
    destination: {table: third_table, write: replace_table}
"""


@pytest.fixture(scope="module")
def configs_dir(shared_folder: Path) -> Path:
    single = RESUMABLE.replace("parameters:", "exclusive: true\nparameters:").replace("min: 4", "min: 3")
    templates = {"resumable": RESUMABLE, "changing": RESUMABLE, "single": single, "list": TEMPLATES["list"]}
    return configs_with(shared_folder, templates)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(
    shared_warehouse: Warehouse, shared_folder: Path, temporal_address: str, configs_dir: Path
) -> AsyncIterator[PipelineStack]:
    async with (
        tenant_stack(shared_folder, shared_warehouse) as tenants,
        pipeline_stack(shared_folder, shared_warehouse, tenants, temporal_address, configs_dir=configs_dir) as running,
    ):
        yield running


async def retry(stack: PipelineStack, key: Any, run_id: str, **fields: str) -> pb2.RunTemplateResponse:
    request = pb2.RetryRunRequest(pipeline_logging_id=run_id, **fields)
    answer: pb2.RunTemplateResponse = await stack.stub.RetryRun(request, metadata=key, timeout=30)
    return answer


async def refusal(stack: PipelineStack, key: Any, run_id: str) -> tuple[str, str, dict[str, str]]:
    request = pb2.RetryRunRequest(pipeline_logging_id=run_id)
    refused_as = await refused(stack.stub.RetryRun(request, metadata=key, timeout=30))
    return refused_as.code, refused_as.reason, refused_as.metadata


async def mend(stack: PipelineStack, tenant_id: str) -> None:
    """Give the tenant's source more rows."""
    source = TableRef(f"export_{tenant_id}", "rows")
    await _statement(stack, f"INSERT INTO `{source}` SELECT * FROM `{source}`")


async def _statement(stack: PipelineStack, sql: str) -> None:
    job = QueryJob(f"mend-{uuid.uuid4()}", Statement(sql))
    await stack.warehouse.submit(job)
    await stack.warehouse.wait(job.job_id, timeout_seconds=60)


async def failed(stack: PipelineStack, template_name: str = "resumable") -> tuple[str, Any, run_pb2.Run]:
    tenant_id, key = await stack.onboard()
    run = await stack.run(tenant_id, key, template_name)
    assert [step.status for step in run.steps] == [run_pb2.Step.COMPLETE, run_pb2.Step.FAILED, run_pb2.Step.SKIPPED]
    return tenant_id, key, run


async def test_a_retry_goes_on_from_the_step_that_failed_with_the_plan_that_was_accepted(
    stack: PipelineStack, configs_dir: Path
) -> None:
    tenant_id, key, run = await failed(stack, "changing")
    await mend(stack, tenant_id)
    template = configs_dir / "gcp" / "test" / "changing.yml"
    template.write_text(RESUMABLE.replace("min: 4", "min: 400"))  # a change that the plan does not know of
    started = await retry(stack, key, run.pipeline_logging_id)
    assert (started.pipeline_id, started.already_running) == (run.pipeline_id, False)
    assert started.pipeline_logging_id != run.pipeline_logging_id
    ended = await stack.end_of(key, started.pipeline_logging_id)
    assert ended.status == run_pb2.Run.COMPLETE, ended
    assert (ended.retry_of, ended.trigger_by) == (run.pipeline_logging_id, "retry")
    assert dict(ended.parameters) == dict(run.parameters), "the date, too"
    assert ended.steps[0] == run.steps[0], "what was done is not done again"
    assert [step.status for step in ended.steps] == [run_pb2.Step.COMPLETE] * 3
    assert await stack.rows(tenant_id, key, "first_table") == [{"rows_seen": "3"}]
    assert await stack.rows(tenant_id, key, "third_table") == [{"rows_seen": "6"}]
    rows = {
        str(row["pipeline_logging_id"]): row
        for row in await stack.warehouse.list_rows(TableRef(tenant_id, "pipeline_runs"))
    }
    assert rows[ended.pipeline_logging_id]["retry_of"] == run.pipeline_logging_id
    assert rows[run.pipeline_logging_id]["retry_of"] is None
    assert rows[run.pipeline_logging_id]["status"] == "FAILED"


async def test_many_who_retry_at_once_get_one_run(stack: PipelineStack) -> None:
    tenant_id, key, run = await failed(stack)
    await mend(stack, tenant_id)
    answers = await asyncio.gather(*(retry(stack, key, run.pipeline_logging_id) for _ in range(16)))
    assert len({answer.pipeline_logging_id for answer in answers}) == 1
    assert (await stack.end_of(key, answers[0].pipeline_logging_id)).status == run_pb2.Run.COMPLETE


async def test_a_repeat_with_its_request_id_is_answered_after_the_end_and_another_request_refused(
    stack: PipelineStack,
) -> None:
    tenant_id, key, run = await failed(stack)
    await mend(stack, tenant_id)
    request_id = str(uuid.uuid4())
    first = await retry(stack, key, run.pipeline_logging_id, request_id=request_id)
    await stack.end_of(key, first.pipeline_logging_id)
    again = await retry(stack, key, run.pipeline_logging_id, request_id=request_id)
    assert again.pipeline_logging_id == first.pipeline_logging_id
    other = pb2.RetryRunRequest(pipeline_logging_id=run.pipeline_logging_id, request_id=request_id, trigger_by="else")
    assert (await refused(stack.stub.RetryRun(other, metadata=key, timeout=20))).reason == "REQUEST_ID_REUSED"


async def test_only_the_latest_run_that_did_not_come_to_its_good_end_can_be_retried(stack: PipelineStack) -> None:
    tenant_id, key, run = await failed(stack)
    complete = await stack.run(tenant_id, key, "list", date="")
    assert await refusal(stack, key, complete.pipeline_logging_id) == (
        "FAILED_PRECONDITION",
        "RUN_NOT_RETRYABLE",
        {"status": "COMPLETE"},
    )
    later = await stack.end_of(key, (await retry(stack, key, run.pipeline_logging_id)).pipeline_logging_id)
    assert later.status == run_pb2.Run.FAILED
    assert (await refusal(stack, key, run.pipeline_logging_id))[1] == "RUN_NOT_RETRYABLE"
    await mend(stack, tenant_id)
    again = await stack.end_of(key, (await retry(stack, key, later.pipeline_logging_id)).pipeline_logging_id)
    assert (again.status, again.retry_of) == (run_pb2.Run.COMPLETE, later.pipeline_logging_id)


async def test_a_failed_day_of_an_exclusive_template_is_retried_after_later_days_ran(stack: PipelineStack) -> None:
    tenant_id, key = await stack.onboard()
    source = TableRef(f"export_{tenant_id}", "rows")
    await _statement(stack, f"DELETE FROM `{source}` WHERE service = 'storage'")
    failed_run = await stack.run(tenant_id, key, "single")
    assert failed_run.status == run_pb2.Run.FAILED, failed_run
    await mend(stack, tenant_id)
    later = await stack.run(tenant_id, key, "single", date="2025-11-16")
    assert later.status == run_pb2.Run.COMPLETE, later
    get = pb2.GetRunRequest(pipeline_logging_id=failed_run.pipeline_logging_id)
    assert await stack.stub.GetRun(get, metadata=key, timeout=20) == failed_run
    retried = await stack.end_of(key, (await retry(stack, key, failed_run.pipeline_logging_id)).pipeline_logging_id)
    assert (retried.status, retried.retry_of) == (run_pb2.Run.COMPLETE, failed_run.pipeline_logging_id)
    assert dict(retried.parameters) == {"date": DAY}
    template = pb2.GetTemplateRequest(provider="gcp", domain="test", template_name="single")
    assert (await stack.stub.GetTemplate(template, metadata=key, timeout=20)).exclusive
