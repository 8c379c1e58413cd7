"""Both services note who calls, and write it down when they end: ListKeys tells it. On both warehouses."""

from datetime import UTC, datetime
from pathlib import Path

from common.warehouse.warehouse import Warehouse
from convergence.pipeline.v1 import pipeline_service_pb2
from tests.local_kms import emulator
from tests.rpc.key_calls import KeyCalls, new_tenant
from tests.rpc.pipeline_stack import pipeline_stack
from tests.rpc.tenant_stack import tenant_stack


async def last_used(keys: KeyCalls) -> datetime | None:
    key = (await keys.by_id())[keys.key_id]
    return key.last_used_time.ToDatetime(UTC) if key.HasField("last_used_time") else None


async def test_tenant_service_writes_down_who_called(warehouse: Warehouse, tmp_path: Path) -> None:
    async with emulator(tmp_path / "kms") as kms_address:
        async with tenant_stack(tmp_path, warehouse, kms_address=kms_address) as stack:
            keys = await new_tenant(stack, warehouse)
            assert await last_used(keys) is None, "an admin's calls are no use of the tenant's key"
            began = datetime.now(UTC)
            await keys.read(keys.own)
            ended = datetime.now(UTC)
            assert await last_used(keys) is None, "not on the path of the call"
        async with tenant_stack(tmp_path, warehouse, kms_address=kms_address) as stack:
            keys = KeyCalls(stack, warehouse, keys.tenant_id, keys.key, keys.key_id)
            time = await last_used(keys)
            assert time is not None
            assert began <= time <= ended


async def test_pipeline_service_writes_down_who_called(
    warehouse: Warehouse, temporal_address: str, tmp_path: Path
) -> None:
    async with tenant_stack(tmp_path, warehouse) as tenants:
        keys = await new_tenant(tenants, warehouse)
        async with pipeline_stack(tmp_path, warehouse, tenants, temporal_address) as pipelines:
            request = pipeline_service_pb2.ListTemplatesRequest()
            began = datetime.now(UTC)
            await pipelines.stub.ListTemplates(request, metadata=keys.own, timeout=10)
            ended = datetime.now(UTC)
        time = await last_used(keys)
        assert time is not None
        assert began <= time <= ended
