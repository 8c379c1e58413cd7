"""kill -9 of TenantService after each of Onboard's changes: calling again with the same request_id completes it, with one key."""

import uuid
from pathlib import Path

import pytest

from common.api_keys.hashing import digest
from common.tenants.tenant import STATE
from common.warehouse.warehouse import TableRef
from convergence.tenant.v1 import tenant_service_pb2 as pb2
from tests.rpc.crashes import AS_ADMIN, crashing_service
from tests.stubs.bigquery import BigQueryStub
from tests.warehouses import Connect


@pytest.mark.parametrize("connect", ["bigquery"], indirect=True)
async def test_an_onboarding_killed_after_each_of_its_changes_is_completed_by_calling_again(
    connect: Connect, stub: BigQueryStub, tmp_path: Path
) -> None:
    warehouse = connect()
    tenant_id = f"t_{uuid.uuid4().hex[:16]}"
    request = pb2.OnboardRequest(tenant_id=tenant_id, request_id=str(uuid.uuid4()))
    async with crashing_service(stub, tmp_path) as service:
        answer, crashes = await service.call_until_answered(
            lambda tenants: tenants.Onboard(request, metadata=AS_ADMIN, timeout=60)
        )
    assert crashes >= 6, "the dataset, the tables (made at once), the key, the sources, the state, the dry run's status"
    audit = await warehouse.list_rows(TableRef(tenant_id, "audit_log"))
    attempts = {row["audit_id"] for row in audit if row["phase"] == "ATTEMPT"}
    (ended,) = [row["audit_id"] for row in audit if row["phase"] == "OUTCOME"]
    assert ended in attempts
    assert len(attempts) >= 4, (
        "the key, the sources, the state, the dry run's status: each was begun by a call that did not end"
    )
    (row,) = await warehouse.list_rows(TableRef(tenant_id, "api_keys"))
    assert row["key_hash"] == digest(answer.api_key)
    assert (await warehouse.get_dataset(tenant_id)).labels[STATE] == "ready"
