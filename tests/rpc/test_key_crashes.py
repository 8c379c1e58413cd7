"""kill -9 of TenantService after each change of CreateKey and RotateKey: calling again with the same request_id gives the one key made."""

from pathlib import Path

import pytest

from common.api_keys.hashing import digest
from convergence.tenant.v1 import api_key_pb2 as pb2
from tests.rpc.crashes import AS_ADMIN, crashing_service
from tests.rpc.key_calls import TIMEOUT_SECONDS, new_request_id, new_tenant
from tests.rpc.tenant_stack import tenant_stack
from tests.stubs.bigquery import BigQueryStub
from tests.warehouses import Connect


@pytest.mark.parametrize("connect", ["bigquery"], indirect=True)
async def test_keys_made_by_processes_killed_after_each_of_their_changes_are_had_by_calling_again(
    connect: Connect, stub: BigQueryStub, tmp_path: Path
) -> None:
    warehouse = connect()
    async with crashing_service(stub, tmp_path) as service:
        async with tenant_stack(tmp_path, warehouse, kms_address=service.kms_address) as stack:
            keys = await new_tenant(stack, warehouse)
        create = pb2.CreateKeyRequest(tenant_id=keys.tenant_id, scopes=["runs:read"], request_id=new_request_id())
        created, crashes = await service.call_until_answered(
            lambda tenants: tenants.CreateKey(create, metadata=AS_ADMIN, timeout=TIMEOUT_SECONDS)
        )
        assert crashes >= 2, "the claim of the request id, and the key"
        rotate = pb2.RotateKeyRequest(tenant_id=keys.tenant_id, key_id=created.key.key_id, request_id=new_request_id())
        rotated, crashes = await service.call_until_answered(
            lambda tenants: tenants.RotateKey(rotate, metadata=AS_ADMIN, timeout=TIMEOUT_SECONDS)
        )
        assert crashes >= 2, "the claim of the request id, and both keys at once"
    rows = {row["key_hash"]: row for row in await keys.rows()}
    assert rows.keys() == {digest(key) for key in (keys.key, created.api_key, rotated.api_key)}
    assert rows[digest(created.api_key)]["superseded_by"] == rotated.key.key_id
