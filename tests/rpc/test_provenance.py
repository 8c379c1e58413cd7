"""Where a number comes from: a run and its records tell the template's version, jobs, rows, bytes and cost, on both warehouses."""

import hashlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from common.warehouse.warehouse import Row, TableRef, Warehouse
from convergence.pipeline.v1 import pipeline_service_pb2 as pb2
from convergence.pipeline.v1 import run_pb2
from tests.contract.work import WAIT_SECONDS
from tests.rpc.earlier_release import NOW, old_tenant
from tests.rpc.pipeline_stack import TEMPLATES, PipelineStack, pipeline_stack
from tests.rpc.tenant_stack import TenantStack, tenant_stack

MINIMUM = 10 * 2**20


@pytest.fixture
async def tenants(warehouse: Warehouse, tmp_path: Path) -> AsyncIterator[TenantStack]:
    async with tenant_stack(tmp_path, warehouse) as running:
        yield running


@dataclass
class Recorded:
    """The rows of one run and of its steps, by step."""

    run: Row
    steps: dict[str, Row]


async def recorded(warehouse: Warehouse, tenant_id: str, run: run_pb2.Run) -> Recorded:
    async def rows(table: str) -> list[Row]:
        found = await warehouse.list_rows(TableRef(tenant_id, table))
        return [row for row in found if row["pipeline_logging_id"] == run.pipeline_logging_id]

    [row] = await rows("pipeline_runs")
    return Recorded(row, {str(row["step_id"]): row for row in await rows("step_logs")})


async def listed(stack: PipelineStack, tenant_id: str, key: Any) -> list[run_pb2.Run]:
    answer = await stack.stub.ListRuns(pb2.ListRunsRequest(tenant_id=tenant_id), metadata=key, timeout=30)
    return list(answer.runs)


async def test_a_run_and_its_records_explain_its_numbers_and_go_on_when_the_price_changes(
    warehouse: Warehouse, tenants: TenantStack, temporal_address: str, tmp_path: Path
) -> None:
    (tmp_path / "first").mkdir()
    queue: dict[str, Any] = {"temporal_task_queue": uuid.uuid4().hex}
    async with pipeline_stack(tmp_path / "first", warehouse, tenants, temporal_address, **queue) as stack:
        tenant_id, key = await stack.onboard()
        run = await stack.run(tenant_id, key)
        rows = await recorded(warehouse, tenant_id, run)
    load, verify = run.steps

    assert run.template_digest == hashlib.sha256(TEMPLATES["daily"].encode()).hexdigest()
    assert rows.run["template_digest"] == run.template_digest
    assert (load.rows_staged, load.rows_written) == (2, 2)
    staged = await warehouse.wait(load.stage_job_id, timeout_seconds=WAIT_SECONDS)
    published = await warehouse.wait(load.publish_job_id, timeout_seconds=WAIT_SECONDS)
    assert published.rows == load.rows_written
    assert (verify.stage_job_id, verify.publish_job_id) == ("", ""), "it only checks"

    assert load.bytes_billed == staged.bytes_billed + 2 * MINIMUM, "the query, and two checks of one table each"
    assert verify.bytes_billed == 3 * MINIMUM, "two checks, one of which reads the export besides"
    assert load.bytes_processed > staged.bytes_processed > 0
    for step in run.steps:
        assert step.price_per_tib_usd == "6.25"
        assert step.cost_usd == "0.000178814", "30 MB at 6.25 USD a TiB"
        row = rows.steps[step.step_id]
        assert (row["job_id"] or "", row["publish_job_id"] or "") == (step.stage_job_id, step.publish_job_id)
        assert (row["rows_staged"], row["rows_written"]) == (step.rows_staged, step.rows_written)
        assert (row["bytes_processed"], row["bytes_billed"]) == (step.bytes_processed, step.bytes_billed)
        assert (row["cost_usd"], row["price_per_tib_usd"]) == (Decimal(step.cost_usd), Decimal("6.25"))
    assert run.bytes_processed == rows.run["bytes_processed"] == load.bytes_processed + verify.bytes_processed
    assert run.bytes_billed == rows.run["bytes_billed"] == load.bytes_billed + verify.bytes_billed
    assert Decimal(run.cost_usd) == rows.run["cost_usd"] == Decimal(load.cost_usd) + Decimal(verify.cost_usd)

    (tmp_path / "second").mkdir()
    cheaper = {**queue, "price_per_tib_usd": Decimal(5)}
    async with pipeline_stack(tmp_path / "second", warehouse, tenants, temporal_address, **cheaper) as stack:
        later = await stack.run(tenant_id, key, "list", date="")
        get = pb2.GetRunRequest(pipeline_logging_id=run.pipeline_logging_id)
        assert await stack.stub.GetRun(get, metadata=key, timeout=10) == run
        assert await listed(stack, tenant_id, key) == [later, run], "as their records have them"
    assert later.steps[0].price_per_tib_usd == "5"
    assert (later.bytes_billed, later.cost_usd) == (0, "0"), "it reads no table"


async def test_a_step_that_fails_tells_what_it_took(
    warehouse: Warehouse, tenants: TenantStack, temporal_address: str, tmp_path: Path
) -> None:
    cheaper = {"price_per_tib_usd": Decimal(5)}
    async with pipeline_stack(tmp_path, warehouse, tenants, temporal_address, **cheaper) as stack:
        tenant_id, key = await stack.onboard()
        run = await stack.run(tenant_id, key, "strict")
        rows = await recorded(warehouse, tenant_id, run)
    assert run.status == run_pb2.Run.FAILED
    (load,) = run.steps
    assert (load.rows_staged, load.rows_written, load.publish_job_id) == (2, 0, "")
    assert (await warehouse.wait(load.stage_job_id, timeout_seconds=WAIT_SECONDS)).bytes_billed == MINIMUM
    assert load.bytes_billed == run.bytes_billed == 2 * MINIMUM, "the query and the check"
    assert Decimal(run.cost_usd) == rows.run["cost_usd"] == rows.steps["load"]["cost_usd"] == Decimal("0.000095367")


async def test_what_a_table_has_no_column_for_is_left_out_until_it_has(
    warehouse: Warehouse, tenants: TenantStack, temporal_address: str, tmp_path: Path
) -> None:
    async with pipeline_stack(tmp_path, warehouse, tenants, temporal_address) as stack:
        tenant = await old_tenant(warehouse, tenants.cipher)
        before = await stack.run(tenant.tenant_id, tenant.key, "list", date="")
        rows = await recorded(warehouse, tenant.tenant_id, before)
        assert before.status == run_pb2.Run.COMPLETE
        assert (rows.run["status"], rows.steps["load"]["status"]) == ("COMPLETE", "COMPLETE")
        assert "cost_usd" not in {*rows.run, *rows.steps["load"]}
        assert await listed(stack, tenant.tenant_id, tenant.key) == [before], "its record has the steps in whole"

        for table in ("pipeline_runs", "step_logs"):
            await warehouse.add_columns(TableRef(tenant.tenant_id, table), NOW.tables[table].columns)
        after = await stack.run(tenant.tenant_id, tenant.key, "list", date="")
        rows = await recorded(warehouse, tenant.tenant_id, after)
        assert rows.run["cost_usd"] == rows.steps["load"]["cost_usd"] == 0
        assert rows.steps["load"]["price_per_tib_usd"] == Decimal("6.25")
