"""The writes of a query step as a tenant meets them, on both warehouses."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from common.warehouse.warehouse import Warehouse
from convergence.errors.v1 import error_reason_pb2
from convergence.pipeline.v1 import plan_pb2, run_pb2
from tests.rpc.pipeline_stack import DAY, PipelineStack, configs_with, pipeline_stack
from tests.rpc.statuses import refused
from tests.rpc.tenant_stack import tenant_stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEMPLATES = {
    "merged": """
description: The latest cost of each service
parameters:
  date: {type: date, required: true}
steps:
  - id: load
    type: query
    sql: SELECT * FROM `{source.export}` WHERE day = @date
    destination: {table: latest, write: merge, keys: [service], clustering: [service]}
    checks:
      - {type: row_count, min: 1}
    timeout: 1m
""",
    "merged_by_day": """
description: Merges rows by a key that they share
steps:
  - id: load
    type: query
    sql: SELECT * FROM `{source.export}`
    destination: {table: by_day, write: merge, keys: [day]}
    timeout: 1m
""",
    "viewed": """
description: Publishes costs, what they sum up to by service, and a copy of that
parameters:
  date: {type: date, required: true}
steps:
  - id: load
    type: query
    sql: SELECT * FROM `{source.export}` WHERE day = @date
    destination: {table: kept, write: replace_partition, partition: {column: day, value: "{date}"}}
    timeout: 1m
  - id: sum
    type: query
    sql: SELECT service, SUM(cost) AS cost FROM `{tenant_id}.kept` GROUP BY service HAVING COUNT(*) > 1 OR service = 'compute'
    destination: {table: costs_by_service, write: view}
    checks:
      - {type: unique, columns: [service]}
    timeout: 1m
  - id: copy
    type: query
    sql: SELECT * FROM `{tenant_id}.costs_by_service`
    destination: {table: of_the_view, write: replace_table}
    timeout: 1m
""",
    "any_view": """
description: A view of any table
parameters:
  input: {type: table, required: true}
steps:
  - id: show
    type: query
    sql: SELECT * FROM {input}
    destination: {table: shown, write: view}
    timeout: 1m
""",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(
    shared_warehouse: Warehouse, shared_folder: Path, temporal_address: str
) -> AsyncIterator[PipelineStack]:
    configs_dir = configs_with(shared_folder, TEMPLATES)
    async with (
        tenant_stack(shared_folder, shared_warehouse) as tenants,
        pipeline_stack(shared_folder, shared_warehouse, tenants, temporal_address, configs_dir=configs_dir) as running,
    ):
        yield running


async def test_each_run_merges_its_rows_by_their_keys(stack: PipelineStack) -> None:
    tenant_id, key = await stack.onboard()
    first = await stack.run(tenant_id, key, "merged")
    assert first.status == run_pb2.Run.COMPLETE, first
    assert first.steps[0].rows_written == 2
    second = await stack.run(tenant_id, key, "merged", date="2025-11-16")
    assert (second.status, second.steps[0].rows_written) == (run_pb2.Run.COMPLETE, 1)
    rows = {row["service"]: (row["day"], row["items"]) for row in await stack.rows(tenant_id, key, "latest")}
    assert rows == {"compute": ("2025-11-16", "5"), "storage": (DAY, "4")}


async def test_rows_that_share_their_keys_fail_the_run_with_a_reason_and_without_a_row(stack: PipelineStack) -> None:
    tenant_id, key = await stack.onboard()
    run = await stack.run(tenant_id, key, "merged_by_day", date="")
    assert (run.status, run.error.reason) == (run_pb2.Run.FAILED, error_reason_pb2.MERGE_KEYS_INVALID)
    assert run.error.message == "1 keys stand in more than one of the staged rows that are to be merged by them"
    assert run.steps[0].attempts == 1


async def test_a_view_shows_the_rows_of_the_runs_that_follow(stack: PipelineStack) -> None:
    tenant_id, key = await stack.onboard()
    made = await stack.run(tenant_id, key, "viewed")
    assert made.status == run_pb2.Run.COMPLETE, made
    assert [step.rows_written for step in made.steps] == [2, 0, 1]
    assert [check.passed for check in made.steps[1].checks] == [True]
    assert await stack.rows(tenant_id, key, "costs_by_service") == await stack.rows(tenant_id, key, "of_the_view")
    assert (await stack.run(tenant_id, key, "viewed", date="2025-11-16")).status == run_pb2.Run.COMPLETE
    (row,) = await stack.rows(tenant_id, key, "costs_by_service")
    assert (row["service"], row["cost"]) == ("compute", "9.123456789")


async def test_a_view_over_a_granted_source_is_refused_with_its_table(stack: PipelineStack) -> None:
    tenant_id, key = await stack.onboard()
    assert (await stack.run(tenant_id, key, "viewed")).status == run_pb2.Run.COMPLETE
    refusal = await refused(stack.start(tenant_id, key, "any_view", date="", parameters={"input": "export"}))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "TABLE_NOT_ALLOWED")
    own = await stack.run(tenant_id, key, "any_view", date="", parameters={"input": "kept"})
    assert own.status == run_pb2.Run.COMPLETE, own


async def test_a_plan_tells_the_keys_of_a_merge_and_that_a_view_reads_no_more_than_its_checks(
    stack: PipelineStack,
) -> None:
    tenant_id, key = await stack.onboard()
    run = await stack.run(tenant_id, key, "viewed")

    async def planned(template_name: str, **fields: Any) -> list[plan_pb2.PlannedStep]:
        request = plan_pb2.PlanTemplateRequest(
            tenant_id=tenant_id, provider="gcp", domain="test", template_name=template_name, **fields
        )
        plan: plan_pb2.TemplatePlan = await stack.stub.PlanTemplate(request, metadata=key, timeout=30)
        return list(plan.steps)

    (merge,) = await planned("merged", date=DAY)
    assert (merge.write, list(merge.keys)) == ("merge", ["service"])
    view = (await planned("viewed", date=DAY))[1]
    assert (view.write, view.destination.table) == ("view", "costs_by_service")
    assert view.estimate.bytes_processed == run.steps[1].bytes_processed > 0
    (unchecked,) = await planned("any_view", parameters={"input": "kept"})
    assert (unchecked.estimate.bytes_billed, unchecked.estimate.unknown_because) == (0, "")
    assert unchecked.estimate.basis in (plan_pb2.StepEstimate.DRY_RUN, plan_pb2.StepEstimate.TABLE_SIZES)
