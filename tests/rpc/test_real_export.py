"""A real billing export, loaded as a tenant's: each of its days comes out over gRPC as the file has it."""

import asyncio
from datetime import UTC
from decimal import Decimal

import pyarrow as pa
import pytest

from common.warehouse.warehouse import TableRef, TableSpec
from convergence.pipeline.v1 import run_pb2
from convergence.tenant.v1 import tenant_service_pb2 as tenant_pb2
from local_stack.billing_export import ARROW_SCHEMA, COLUMNS
from local_stack.warehouse.upload import upload
from tests.real_export import DAYS, real_rows, real_totals
from tests.rpc.system import System
from tests.rpc.tenant_stack import as_key
from tests.warehouses import LocalServer

pytestmark = pytest.mark.asyncio(loop_scope="session")

TENANT = "real_export"
TEMPLATE = {"provider": "gcp", "domain": "cost", "template_name": "bill-sample-export-template"}


async def test_each_day_of_a_real_export_has_its_rows_cost_and_credits_to_the_last_digit(
    system: System, local_server: LocalServer
) -> None:
    table = pa.Table.from_pylist(real_rows(), schema=ARROW_SCHEMA)
    export = TableRef(f"billing_export_{TENANT}", "gcp_billing_export_v1")  # what the onboarding template grants
    await system.pipelines.warehouse.create_dataset(export.dataset, location="US", labels={})
    place = (local_server.address, local_server.token, export, TableSpec(COLUMNS))
    await asyncio.to_thread(upload, *place, table.to_reader())
    answer: tenant_pb2.OnboardResponse = await system.call("Onboard", system.admin, tenant_id=TENANT)
    key = as_key(answer.api_key)

    runs = [await system.call("RunTemplate", key, tenant_id=TENANT, **TEMPLATE, date=day.isoformat()) for day in DAYS]
    for day, started in zip(DAYS, runs, strict=True):
        run = await system.pipelines.end_of(key, started.pipeline_logging_id)
        assert run.status == run_pb2.Run.COMPLETE, run
        assert all(check.passed for step in run.steps for check in step.checks), run
        newest = max(row["export_time"] for row in real_rows() if row["usage_start_time"].date() == day)
        assert run.newest_source_row_time.ToDatetime(UTC) == newest

    totals = real_totals()
    assert set(totals) == set(DAYS)
    for day, expected in totals.items():
        span = {"start_date": day.isoformat(), "end_date": day.isoformat()}
        rows = await system.pipelines.rows(TENANT, key, "cost_daily", **span)
        assert {row["usage_date"] for row in rows} == {day.isoformat()}
        assert sum(int(row["line_items"]) for row in rows) == expected.line_items
        assert sum(Decimal(row["cost"]) for row in rows) == expected.cost
        assert sum(Decimal(row["credits"]) for row in rows) == expected.credits
        assert sum(Decimal(row["net_cost"]) for row in rows) == expected.cost + expected.credits
