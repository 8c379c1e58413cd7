"""Claims: what a late onboarding may still change."""

import uuid

import pytest

from common.clock import SystemClock
from common.errors import RequestIdReused, TenantExists
from common.tenants.tenant import STATE
from common.warehouse.warehouse import Warehouse
from tenant_service.claim import Claims, RequestDigests


def digests(request_id: str, **sources: str) -> RequestDigests:
    return RequestDigests.of(principal="admin:1", request_id=request_id, sources=sources)


@pytest.mark.parametrize("state", ["suspended", "deleted"])
async def test_a_late_onboarding_makes_no_tenant_ready_that_has_come_further(warehouse: Warehouse, state: str) -> None:
    claims, tenant_id = Claims(warehouse, SystemClock()), f"t_{uuid.uuid4().hex[:16]}"
    tenant = await claims.claim(tenant_id, digests(""), location="US", labels={}, description="")
    await warehouse.set_labels(tenant.dataset, {STATE: state})
    await claims.make_ready(tenant_id, schema_version=2)
    assert (await warehouse.get_dataset(tenant_id)).labels[STATE] == state


async def test_a_deleted_tenant_is_never_answered_again(warehouse: Warehouse) -> None:
    claims, tenant_id, request = Claims(warehouse, SystemClock()), f"t_{uuid.uuid4().hex[:16]}", digests(str(uuid.uuid4()))
    tenant = await claims.claim(tenant_id, request, location="US", labels={}, description="")
    await warehouse.set_labels(tenant.dataset, {STATE: "deleted"})
    with pytest.raises(TenantExists):
        await claims.claim(tenant_id, request, location="US", labels={}, description="")


async def test_one_request_id_with_another_body_is_refused(warehouse: Warehouse) -> None:
    claims, tenant_id, request_id = Claims(warehouse, SystemClock()), f"t_{uuid.uuid4().hex[:16]}", str(uuid.uuid4())
    await claims.claim(tenant_id, digests(request_id), location="US", labels={}, description="")
    with pytest.raises(RequestIdReused):
        await claims.claim(tenant_id, digests(request_id, a="b.c"), location="US", labels={}, description="")
