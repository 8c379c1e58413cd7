"""Checks as a tenant meets them: what GetRun says, what is published, and what a run is compared with; on both warehouses."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from common.warehouse.warehouse import TableRef, Warehouse
from convergence.errors.v1 import error_reason_pb2
from convergence.pipeline.v1 import run_pb2
from tests.rpc.pipeline_stack import DAY, PipelineStack, configs_with, pipeline_stack
from tests.rpc.tenant_stack import tenant_stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEMPLATE = """
description: Cost of a day, checked in every way
parameters:
  date: {type: date, required: true}
  limit: {type: number, required: true}
  severity: {type: enum, values: [error, warn], default: error}
steps:
  - id: load
    type: query
    sql: SELECT * FROM `{source.export}` WHERE day = @date
    destination: {table: cost, write: replace_partition, partition: {column: day, value: "{date}"}}
    checks:
      - {type: accepted_values, column: service, values: [compute, storage]}
      - {type: range, column: cost, min: 0, max: "{limit}", severity: "{severity}"}
      - {type: row_count, max_change: 0.1, severity: "{severity}"}
      - {type: freshness, column: day, max_age: 36h, severity: warn}
      - {type: relationships, column: service, to: "{source.export}", field: service}
      - {type: expression, sql: cost < items * @limit}
    timeout: 1m
"""
NAMES = ("accepted_values_service", "range_cost", "row_count", "freshness_day", "relationships_service", "expression")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(
    shared_warehouse: Warehouse, shared_folder: Path, temporal_address: str
) -> AsyncIterator[PipelineStack]:
    configs_dir = configs_with(shared_folder, {"checked": TEMPLATE})
    async with (
        tenant_stack(shared_folder, shared_warehouse) as tenants,
        pipeline_stack(shared_folder, shared_warehouse, tenants, temporal_address, configs_dir=configs_dir) as running,
    ):
        yield running


async def run(stack: PipelineStack, tenant_id: str, key: Any, date: str, **parameters: str) -> run_pb2.Run:
    return await stack.run(tenant_id, key, "checked", date=date, parameters=parameters)


def check(run: run_pb2.Run, name: str) -> run_pb2.CheckResult:
    assert tuple(check.name for check in run.steps[0].checks) == NAMES
    return next(check for check in run.steps[0].checks if check.name == name)


async def test_a_tenant_sees_what_was_measured_and_what_was_expected(stack: PipelineStack) -> None:
    tenant_id, key = await stack.onboard()
    first = await run(stack, tenant_id, key, DAY, limit="1.999999999", severity="warn")
    assert first.status == run_pb2.Run.COMPLETE, first
    passed = {found.name: found.passed for found in first.steps[0].checks}
    assert [name for name, good in passed.items() if not good] == ["range_cost", "freshness_day"]
    ranged = check(first, "range_cost")
    assert (ranged.failing_rows, ranged.expected) == (1, ">= 0 and <= 1.999999999")
    assert check(first, "accepted_values_service").expected == "one of compute, storage"
    assert check(first, "row_count").expected == "no earlier run to compare with"
    fresh = check(first, "freshness_day")
    oldest = first.create_time.ToDatetime() - timedelta(hours=36)
    assert fresh.expected.startswith(f">= {oldest:%Y-%m-%d %H:%M:%S}")
    assert (fresh.observed, fresh.severity) == (f"{DAY} 00:00:00+00", run_pb2.CheckResult.WARN)
    published = await stack.rows(tenant_id, key)
    assert len(published) == 2
    samples = {
        row["check_name"]: row["sample"] for row in await stack.warehouse.list_rows(TableRef(tenant_id, "dq_results"))
    }
    assert '"service": "storage"' in str(samples.pop("range_cost"))
    assert set(samples.values()) == {None}

    stopped = await run(stack, tenant_id, key, DAY, limit="1.999999999")
    assert (stopped.status, stopped.error.reason) == (run_pb2.Run.FAILED, error_reason_pb2.CHECK_FAILED)
    assert stopped.error.message == "Checks failed: range_cost"
    assert check(stopped, "range_cost").severity == run_pb2.CheckResult.ERROR
    assert await stack.rows(tenant_id, key) == published


async def test_a_day_is_compared_with_the_last_other_day_that_was_run(stack: PipelineStack) -> None:
    tenant_id, key = await stack.onboard()
    assert (await run(stack, tenant_id, key, DAY, limit="9")).status == run_pb2.Run.COMPLETE
    again = await run(stack, tenant_id, key, DAY, limit="8")
    assert check(again, "row_count").expected == "no earlier run to compare with"
    other = await run(stack, tenant_id, key, "2025-11-16", limit="9")
    assert other.error.message == "Checks failed: row_count"
    counted = check(other, "row_count")
    assert (counted.observed, counted.expected) == ("1", "within 10% of the last run: 2")
    assert await stack.rows(tenant_id, key, start_date="2025-11-16") == []
