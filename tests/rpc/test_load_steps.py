"""Steps that load files as a tenant meets them, on both warehouses: what comes out, what is refused, and that nothing else is read."""

import csv
import io
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from common.warehouse.warehouse import TableRef, Warehouse
from convergence.errors.v1 import error_reason_pb2
from convergence.pipeline.v1 import pipeline_service_pb2 as pb2
from convergence.pipeline.v1 import plan_pb2, run_pb2
from tests.real_export import real_file, real_totals
from tests.rpc.load_templates import TEMPLATES
from tests.rpc.pipeline_stack import DAY, PipelineStack, configs_with, pipeline_stack
from tests.rpc.statuses import refused
from tests.rpc.tenant_stack import tenant_stack
from tests.warehouses import LocalServer, Place

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEADER = "day,service,cost\n"
ROWS = HEADER + f'{DAY},"compute, ""big""\nand wide",1.123456789\n{DAY},storage,2\n'
SHARED = "shared"


@dataclass
class Loading:
    """The services, and the folder that tenants' files lie in."""

    stack: PipelineStack
    place: Place
    options: dict[str, Any]

    def put(self, tenant_id: str, content: str | bytes = ROWS, path: str = f"{DAY}/costs.csv") -> str:
        """Put a file of a tenant's there, and say its uri."""
        return self.place.write(f"tenants/{tenant_id}/{path}", content)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def loading(
    shared_warehouse: Warehouse,
    shared_place: Place,
    local_server: LocalServer,
    shared_folder: Path,
    temporal_address: str,
) -> AsyncIterator[Loading]:
    configs_dir = configs_with(shared_folder, TEMPLATES)
    is_local = not shared_place.uri.startswith("gs://")
    token_file = shared_folder / "token"
    token_file.touch(mode=0o600)
    local = {"warehouse": "local", "warehouse_address": local_server.address, "warehouse_token_file": token_file}
    options: dict[str, Any] = {
        "configs_dir": configs_dir,
        **(local if is_local else {}),
        "load_locations": f"inbox={shared_place.uri}/tenants",
        "shared_load_locations": f"rates={shared_place.uri}/{SHARED}",
    }
    async with (
        tenant_stack(shared_folder, shared_warehouse) as tenants,
        pipeline_stack(shared_folder, shared_warehouse, tenants, temporal_address, **options) as stack,
    ):
        yield Loading(stack, shared_place, options)


def failed(run: run_pb2.Run) -> str:
    """Why the run failed, by name; its first step says the same."""
    assert run.status == run_pb2.Run.FAILED, run
    assert run.error.reason == run.steps[0].error.reason
    return error_reason_pb2.ErrorReason.Name(run.error.reason)


async def test_a_day_of_files_is_published_with_its_checks_and_provenance(loading: Loading) -> None:
    tenant_id, key = await loading.stack.onboard(export=False)
    loading.put(tenant_id)
    loading.put(tenant_id, HEADER + f"{DAY},network,-1\n", f"{DAY}/costs-2.csv")
    run = await loading.stack.run(tenant_id, key)
    assert run.status == run_pb2.Run.COMPLETE, run
    (step,) = run.steps
    assert (step.type, step.destination_table, step.rows_staged, step.rows_written) == ("load", "loaded", 3, 3)
    assert step.stage_job_id
    assert step.publish_job_id
    assert [check.passed for check in step.checks] == [True, False], "one is a warning"
    rows = await loading.stack.rows(tenant_id, key, "loaded")
    assert {(row["day"], row["service"], Decimal(row["cost"])) for row in rows} == {
        (DAY, 'compute, "big"\nand wide', Decimal("1.123456789")),
        (DAY, "storage", Decimal(2)),
        (DAY, "network", Decimal(-1)),
    }
    loading.put(tenant_id, HEADER)
    loading.put(tenant_id, HEADER, f"{DAY}/costs-2.csv")
    assert (await loading.stack.run(tenant_id, key)).status == run_pb2.Run.COMPLETE
    assert await loading.stack.rows(tenant_id, key, "loaded") == [], "a day without rows is empty"
    tables = await loading.stack.warehouse.list_tables(tenant_id)
    assert not [table for table in tables if table.table.startswith("_stage_")]


async def test_a_plan_shows_the_files_and_costs_nothing(loading: Loading) -> None:
    tenant_id, key = await loading.stack.onboard(export=False)
    names: dict[str, Any] = {"provider": "gcp", "domain": "test", "template_name": "daily"}
    request = plan_pb2.PlanTemplateRequest(tenant_id=tenant_id, date=DAY, **names)
    plan = await loading.stack.stub.PlanTemplate(request, metadata=key, timeout=30)
    (step,) = plan.steps
    assert (step.load.uri, step.load.format) == (f"{loading.place.uri}/tenants/{tenant_id}/{DAY}/costs*.csv", "csv")
    assert [(column.name, column.type) for column in step.load.columns][2] == ("cost", "NUMERIC")
    assert step.destination == plan_pb2.PlannedTable(table="loaded", partition_column="day", partition=DAY)
    assert (step.type, step.write) == ("load", "replace_partition")
    assert step.estimate.basis == plan_pb2.StepEstimate.NOT_BILLED
    assert (step.estimate.bytes_billed, step.estimate.cost_usd, plan.total.complete) == (0, "0", True)


async def test_merges_conditions_and_dependencies_are_those_of_any_step(loading: Loading) -> None:
    tenant_id, key = await loading.stack.onboard(export=False)
    loading.put(tenant_id)
    for _ in range(2):
        run = await loading.stack.run(tenant_id, key, "merged")
        assert run.status == run_pb2.Run.COMPLETE, run
    assert len(await loading.stack.rows(tenant_id, key, "latest")) == 2
    run = await loading.stack.run(tenant_id, key, "chained")
    assert [step.status for step in run.steps] == [run_pb2.Step.COMPLETE] * 2
    assert len(await loading.stack.rows(tenant_id, key, "summed")) == 2
    skipped = await loading.stack.run(tenant_id, key, "chained", date="2024-01-01")
    assert [step.status for step in skipped.steps] == [run_pb2.Step.SKIPPED] * 2
    passed_over = await loading.stack.run(tenant_id, key, "chained", date="2025-12-01")
    assert passed_over.status == run_pb2.Run.COMPLETE, "its failure is passed over"
    assert passed_over.steps[0].error.reason == error_reason_pb2.SOURCE_FILES_MISSING


async def test_shared_files_are_every_tenants(loading: Loading) -> None:
    loading.place.write(
        f"{SHARED}/rates.ndjson",
        '{"currency": "EUR", "rate": 1.1, "tags": ["a"]}\n{"currency": "CHF", "rate": "1.05"}\n',
    )
    for _ in range(2):
        tenant_id, key = await loading.stack.onboard(export=False)
        run = await loading.stack.run(tenant_id, key, "rates", date="")
        assert run.status == run_pb2.Run.COMPLETE, run
        rows = await loading.stack.rows(tenant_id, key, "rates")
        assert {row["currency"]: row["rate"] for row in rows} == {"EUR": "1.1", "CHF": "1.05"}


MALFORMED: dict[str, str | bytes] = {
    "text for a number": f"{DAY},compute,hunter2\n",
    "a quote left open": f'{DAY},"hunter2,1\n',
    "too few fields": f"{DAY},hunter2\n",
    "no text": b"\xff\xfe\x00",
}


async def test_a_malformed_file_publishes_nothing_and_is_not_quoted_anywhere(loading: Loading) -> None:
    tenant_id, key = await loading.stack.onboard(export=False)
    loading.put(tenant_id)
    assert (await loading.stack.run(tenant_id, key)).status == run_pb2.Run.COMPLETE
    before = await loading.stack.rows(tenant_id, key, "loaded")
    for what, rows in MALFORMED.items():
        loading.put(tenant_id, HEADER.encode() + (rows if isinstance(rows, bytes) else rows.encode()))
        run = await loading.stack.run(tenant_id, key)
        assert failed(run) == "LOAD_FAILED", what
        assert run.steps[0].attempts == 1, "no other attempt would help"
        assert "hunter2" not in str(run)
        assert "costs.csv" in run.error.message
    logs = await loading.stack.warehouse.list_rows(TableRef(tenant_id, "step_logs"))
    assert "hunter2" not in str(logs)
    assert await loading.stack.rows(tenant_id, key, "loaded") == before


async def test_missing_files_and_those_of_another_tenant_are_not_there(loading: Loading) -> None:
    tenant_id, key = await loading.stack.onboard(export=False)
    other, _ = await loading.stack.onboard(export=False)
    loading.put(other)
    run = await loading.stack.run(tenant_id, key)
    assert failed(run) == "SOURCE_FILES_MISSING"
    for part in ("..", "../../" + other, f"../../{other}/{DAY}/costs", "*", "a/b", "/etc", "costs\n", ""):
        call = loading.stack.start(tenant_id, key, parameters={"part": part})
        refusal = await refused(call)
        assert (refusal.code, refusal.fields) == ("INVALID_ARGUMENT", ("parameters.part",)), part


async def test_a_link_out_of_the_place_is_no_file(loading: Loading) -> None:
    tenant_id, key = await loading.stack.onboard(export=False)
    other, _ = await loading.stack.onboard(export=False)
    loading.put(other)
    own = loading.place.folder / "tenants" / tenant_id
    own.mkdir(parents=True)
    (own / DAY).symlink_to(loading.place.folder / "tenants" / other / DAY)
    assert failed(await loading.stack.run(tenant_id, key)) == "SOURCE_FILES_MISSING"
    (own / DAY).unlink()
    (own / DAY).mkdir()
    (own / DAY / "costs.csv").symlink_to(loading.place.folder / "tenants" / other / DAY / "costs.csv")
    assert failed(await loading.stack.run(tenant_id, key)) == "SOURCE_FILES_MISSING"


async def test_a_place_that_the_settings_do_not_name_is_refused_by_both_methods(loading: Loading) -> None:
    tenant_id, key = await loading.stack.onboard(export=False)
    names: dict[str, Any] = {
        "tenant_id": tenant_id,
        "provider": "gcp",
        "domain": "test",
        "template_name": "elsewhere",
        "date": DAY,
    }
    stub = loading.stack.stub
    for call in (
        stub.RunTemplate(pb2.RunTemplateRequest(**names), metadata=key, timeout=30),
        stub.PlanTemplate(plan_pb2.PlanTemplateRequest(**names), metadata=key, timeout=30),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "LOCATION_NOT_ALLOWED")


async def test_a_real_export_is_loaded_to_the_last_digit(loading: Loading) -> None:
    content = real_file()
    tenant_id, key = await loading.stack.onboard(export=False)
    loading.put(tenant_id, content, "export.csv")
    run = await loading.stack.run(tenant_id, key, "real", date="")
    assert run.status == run_pb2.Run.COMPLETE, run
    rows = await loading.stack.rows(tenant_id, key, "export")
    expected: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    assert run.steps[0].rows_staged == len(rows) == len(expected)

    def told(row: dict[str, Any], renamed: dict[str, str]) -> tuple[Any, ...]:
        texts = [
            row[renamed.get(name, name)] or ""
            for name in ("billing_account_id", "sku_id", "credits", "region", "cost_type")
        ]
        return (
            *texts,
            Decimal(row[renamed.get("cost", "cost")]),
            float(row[renamed.get("usage_amount", "usage_amount")]),
        )

    flat = {"sku_id": "sku.id", "region": "location.region", "usage_amount": "usage.amount"}
    assert sorted(told(row, {}) for row in rows) == sorted(told(row, flat) for row in expected)
    assert sum(Decimal(row["cost"]) for row in rows) == sum(day.cost for day in real_totals().values())


async def test_a_step_that_the_settings_allow_no_more_by_its_turn_loads_nothing(
    loading: Loading, tmp_path: Path, temporal_address: str
) -> None:
    stack, queue = loading.stack, uuid.uuid4().hex
    tenant_id, key = await stack.onboard(export=False)
    loading.put(tenant_id)
    options = {**loading.options, "temporal_task_queue": queue}
    none = {"load_locations": "", "shared_load_locations": ""}
    async with (
        pipeline_stack(tmp_path, stack.warehouse, stack.tenants, temporal_address, **{**options, "role": "api"}) as api,
        pipeline_stack(
            tmp_path, stack.warehouse, stack.tenants, temporal_address, **{**options, **none, "role": "worker"}
        ),
    ):
        run = await api.run(tenant_id, key)
    assert failed(run) == "LOCATION_NOT_ALLOWED"
    assert not [table for table in await stack.warehouse.list_tables(tenant_id) if table.table == "loaded"]


async def test_a_load_that_is_cancelled_publishes_nothing(loading: Loading) -> None:
    tenant_id, key = await loading.stack.onboard(export=False)
    loading.put(tenant_id, HEADER + f"{DAY},compute,1\n" * 1_500_000)
    started = await loading.stack.start(tenant_id, key)
    names = {"pipeline_logging_id": started.pipeline_logging_id}
    watch = loading.stack.stub.WatchRun(pb2.WatchRunRequest(**names), metadata=key, timeout=60)
    async for run in watch:
        if run.steps[0].status == run_pb2.Step.RUNNING:
            await loading.stack.stub.CancelRun(pb2.CancelRunRequest(**names), metadata=key, timeout=30)
    assert run.status == run_pb2.Run.CANCELLED
    tables = [table.table for table in await loading.stack.warehouse.list_tables(tenant_id)]
    assert "loaded" not in tables
