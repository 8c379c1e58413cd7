"""A run and its record tell when the newest row that its steps read came into their source, on both warehouses."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from common.warehouse.warehouse import TableRef, Warehouse
from convergence.errors.v1.error_reason_pb2 import ErrorReason
from convergence.pipeline.v1 import pipeline_service_pb2 as pb2
from convergence.pipeline.v1 import plan_pb2, run_pb2
from tests.rpc.pipeline_stack import DAY, PipelineStack, configs_with, pipeline_stack
from tests.rpc.tenant_stack import tenant_stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

FRESH = """
description: Tells how fresh its source is
parameters:
  date: {type: date, required: true}
steps:
  - id: load
    type: query
    sql: SELECT * FROM `{source.export}` WHERE day = @date
    newest_source_row: %s
    destination: {table: fresh, write: replace_partition, partition: {column: day, value: "{date}"}}
  - id: verify
    type: dq
    table: fresh
    checks: [{type: not_null, column: day, severity: warn}]
"""
OF_THE_DAY = "SELECT MAX(TIMESTAMP(day)) FROM `{source.export}` WHERE day = @date"


@dataclass
class Fresh:
    """A tenant and its calls."""

    stack: PipelineStack
    tenant_id: str
    key: Any

    async def run(self, template: str, **fields: str) -> run_pb2.Run:
        """Run to the end."""
        run: run_pb2.Run = await self.stack.run(self.tenant_id, self.key, template, **fields)
        return run


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fresh(shared_warehouse: Warehouse, temporal_address: str, shared_folder: Path) -> AsyncIterator[Fresh]:
    templates = {"fresh": FRESH % OF_THE_DAY, "no_time": FRESH % "SELECT COUNT(*) FROM `{source.export}`"}
    async with (
        tenant_stack(shared_folder, shared_warehouse) as tenants,
        pipeline_stack(
            shared_folder,
            shared_warehouse,
            tenants,
            temporal_address,
            configs_dir=configs_with(shared_folder, templates),
        ) as stack,
    ):
        yield Fresh(stack, *await stack.onboard())


async def test_the_newest_row_is_told_by_the_step_the_run_and_its_record(fresh: Fresh) -> None:
    run = await fresh.run("fresh")
    assert run.status == run_pb2.Run.COMPLETE, run
    newest = datetime.fromisoformat(DAY).replace(tzinfo=UTC)
    assert run.newest_source_row_time.ToDatetime(UTC) == newest
    assert run.steps[0].newest_source_row_time == run.newest_source_row_time
    assert not run.steps[1].HasField("newest_source_row_time")
    [row] = [
        row
        for row in await fresh.stack.warehouse.list_rows(TableRef(fresh.tenant_id, "pipeline_runs"))
        if row["pipeline_logging_id"] == run.pipeline_logging_id
    ]
    assert row["newest_source_row_time"] == newest
    listed = await fresh.stack.stub.ListRuns(
        pb2.ListRunsRequest(tenant_id=fresh.tenant_id), metadata=fresh.key, timeout=30
    )
    assert list(listed.runs) == [run], "as its record has it"


async def test_a_day_without_rows_has_no_newest_one(fresh: Fresh) -> None:
    run = await fresh.run("fresh", date="2025-01-01")
    assert run.status == run_pb2.Run.COMPLETE, run
    assert not run.HasField("newest_source_row_time")


async def test_what_is_no_timestamp_fails_the_step_before_it_reads(fresh: Fresh) -> None:
    run = await fresh.run("no_time")
    assert (run.status, run.error.reason) == (run_pb2.Run.FAILED, ErrorReason.STATEMENT_FAILED)
    assert run.steps[0].stage_job_id == ""


async def test_a_plan_shows_and_reckons_the_search_for_the_newest_row(fresh: Fresh) -> None:
    plan: plan_pb2.TemplatePlan = await fresh.stack.stub.PlanTemplate(
        plan_pb2.PlanTemplateRequest(
            tenant_id=fresh.tenant_id, provider="gcp", domain="test", template_name="fresh", date=DAY
        ),
        metadata=fresh.key,
        timeout=30,
    )
    assert "MAX(TIMESTAMP(day))" in plan.steps[0].newest_source_row.sql
    assert plan.steps[0].estimate.bytes_billed == 2 * 10 * 2**20, "the query and the search, of one table each"
