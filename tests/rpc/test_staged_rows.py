"""What becomes of staged rows, on both warehouses: they are gone when their run ends, however it ends, or expire by themselves; and what
was published is left as it was by a run that does not publish."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from common.errors import Transient
from common.warehouse.warehouse import Row, TableRef, Warehouse
from convergence.errors.v1 import error_reason_pb2
from convergence.pipeline.v1 import pipeline_service_pb2 as pb2
from convergence.pipeline.v1 import run_pb2
from pipeline_service.steps.attempt import STAGE_LIFETIME
from tests.rpc.held_warehouse import HeldWarehouse
from tests.rpc.pipeline_stack import TEMPLATES, PipelineStack, configs_with, pipeline_stack
from tests.rpc.tenant_stack import tenant_stack

DEARER = (
    TEMPLATES["strict"]
    .replace("SELECT *", "SELECT day, service, cost + 1 AS cost, items, billed, ratio")
    .replace("min: 100", "min: 1")
)
"""Publishes other rows of the same day than the other templates would."""


class Keeping(HeldWarehouse):
    """A warehouse that holds back what is recorded between staging and publishing, and is away when staged rows are to be dropped."""

    def __init__(self, warehouse: Warehouse) -> None:
        super().__init__(warehouse, part="_load_checks_")
        self.keeps = False

    async def delete_table(self, ref: TableRef) -> None:
        if self.keeps and ref.table.startswith("_stage_"):
            raise Transient("away")
        await self.__getattr__("delete_table")(ref)


@pytest.fixture
async def keeping(warehouse: Warehouse) -> Keeping:
    return Keeping(warehouse)


@pytest.fixture
async def stack(keeping: Keeping, tmp_path: Path, temporal_address: str) -> AsyncIterator[PipelineStack]:
    adapter = cast("Warehouse", keeping)
    configs_dir = configs_with(tmp_path, {**TEMPLATES, "dearer": DEARER})
    async with (
        tenant_stack(tmp_path, adapter) as tenants,
        pipeline_stack(tmp_path, adapter, tenants, temporal_address, configs_dir=configs_dir) as running,
    ):
        yield running
        keeping.release()


async def test_no_staged_rows_outlive_a_run_that_ends_and_none_of_them_changes_what_was_published_before(
    stack: PipelineStack, keeping: Keeping
) -> None:
    tenant_id, key = await stack.onboard()
    assert (await stack.run(tenant_id, key, "dearer")).status == run_pb2.Run.COMPLETE
    assert await stages(stack, tenant_id) == []
    before = await published(stack, tenant_id)

    failed = await stack.run(tenant_id, key, "strict")
    assert (failed.status, failed.error.reason) == (run_pb2.Run.FAILED, error_reason_pb2.CHECK_FAILED)
    assert await stages(stack, tenant_id) == []
    assert await published(stack, tenant_id) == before, "the whole table, to the last digit"

    keeping.hold()
    run_id = (await stack.start(tenant_id, key, parameters={"note": "cancelled"})).pipeline_logging_id
    await keeping.waiting.wait()
    assert len(await stages(stack, tenant_id)) == 1, "between stage and publish"
    await stack.stub.CancelRun(pb2.CancelRunRequest(pipeline_logging_id=run_id), metadata=key, timeout=20)
    assert (await stack.end_of(key, run_id)).status == run_pb2.Run.CANCELLED
    keeping.release()
    assert await stages(stack, tenant_id) == []
    assert await published(stack, tenant_id) == before


async def test_staged_rows_that_cannot_be_dropped_expire_by_themselves(stack: PipelineStack, keeping: Keeping) -> None:
    tenant_id, key = await stack.onboard()
    keeping.keeps = True
    begin = datetime.now(UTC).replace(microsecond=0)
    for name in ("daily", "strict"):
        await stack.run(tenant_id, key, name)
    left = await stages(stack, tenant_id)
    assert len(left) == 2
    for ref in left:
        expire_time = (await stack.warehouse.get_table(ref)).expire_time
        assert expire_time is not None
        assert begin + STAGE_LIFETIME <= expire_time <= datetime.now(UTC) + STAGE_LIFETIME + timedelta(seconds=1)


async def stages(stack: PipelineStack, tenant_id: str) -> list[TableRef]:
    return [ref for ref in await stack.warehouse.list_tables(tenant_id) if ref.table.startswith("_stage_")]


async def published(stack: PipelineStack, tenant_id: str) -> Sequence[Row]:
    return sorted(await stack.warehouse.list_rows(TableRef(tenant_id, "cost")), key=str)
