"""kill -9 of TenantService after each of DeleteTenant's changes: calling again completes it, whatever it had come to."""

import uuid
from pathlib import Path

import pytest

from common.tenants.tenant import STATE
from convergence.tenant.v1 import tenant_pb2
from convergence.tenant.v1 import tenant_service_pb2 as pb2
from tests.rpc.crashes import AS_ADMIN, crashing_service
from tests.rpc.life_calls import BOUNDS, PIPELINE_BOUNDS
from tests.rpc.pipeline_stack import pipeline_stack
from tests.rpc.statuses import refused
from tests.rpc.tenant_stack import tenant_stack
from tests.stubs.bigquery import BigQueryStub
from tests.warehouses import Connect


@pytest.mark.parametrize("connect", ["bigquery"], indirect=True)
async def test_a_deletion_killed_after_each_of_its_changes_is_completed_by_calling_again(
    connect: Connect, stub: BigQueryStub, temporal_address: str, tmp_path: Path
) -> None:
    warehouse = connect()
    async with (
        tenant_stack(tmp_path, warehouse, **BOUNDS) as tenants,
        pipeline_stack(tmp_path, warehouse, tenants, temporal_address, **PIPELINE_BOUNDS) as stack,
    ):
        (tenant_id, key), (neighbour, neighbours_key) = [await stack.onboard() for _ in range(2)]
        await stack.run(tenant_id, key)
        before = set(await warehouse.list_tables(neighbour))
        request = pb2.DeleteTenantRequest(tenant_id=tenant_id, confirmation=tenant_id, request_id=str(uuid.uuid4()))
        (tmp_path / "crashing").mkdir()
        async with crashing_service(stub, tmp_path / "crashing", pipeline_service_address=stack.address) as service:
            answer, crashes = await service.call_until_answered(
                lambda stub: stub.DeleteTenant(request, metadata=AS_ADMIN, timeout=60)
            )
        assert crashes >= 4, "the claim, deleting, the tables (some at a time), deleted"
        assert (answer.tenant_id, answer.state) == (tenant_id, tenant_pb2.Tenant.DELETED)
        assert list(await warehouse.list_tables(tenant_id)) == []
        assert (await warehouse.get_dataset(tenant_id)).labels[STATE] == "deleted"
        assert (await refused(stack.start(tenant_id, key))).code == "UNAUTHENTICATED"
        assert set(await warehouse.list_tables(neighbour)) == before
        await stack.start(neighbour, neighbours_key)
