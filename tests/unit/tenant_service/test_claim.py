"""Claims: what a late onboarding may still change."""

import uuid
from datetime import timedelta

import pytest

from common.clock import SystemClock
from common.errors import RequestIdReused, TenantExists, TenantNotFound
from common.tenants.tenant import STATE, TenantRecord
from common.warehouse.warehouse import Warehouse
from tenant_service.claim import Claims, RequestDigests, claim_of
from tests.clock import FakeClock

DAY = timedelta(hours=24)


def digests(request_id: str, **sources: str) -> RequestDigests:
    return RequestDigests.of(principal="admin:1", request_id=request_id, sources=sources)


@pytest.mark.parametrize("state", ["deleting", "deleted"])
async def test_an_onboarding_that_a_deletion_overtook_does_not_end_well(warehouse: Warehouse, state: str) -> None:
    claims, tenant_id = Claims(warehouse, SystemClock()), f"t_{uuid.uuid4().hex[:16]}"
    tenant = await claims.claim(tenant_id, digests(""), location="US", labels={}, description="")
    await warehouse.set_labels(tenant.dataset, {STATE: state})
    with pytest.raises(TenantNotFound):
        await claims.make_ready(tenant_id, schema_version=2)
    assert (await warehouse.get_dataset(tenant_id)).labels[STATE] == state


@pytest.mark.parametrize("state", ["suspended", "ready"])
async def test_a_late_onboarding_makes_no_tenant_ready_that_has_come_further(warehouse: Warehouse, state: str) -> None:
    claims, tenant_id = Claims(warehouse, SystemClock()), f"t_{uuid.uuid4().hex[:16]}"
    tenant = await claims.claim(tenant_id, digests(""), location="US", labels={}, description="")
    await warehouse.set_labels(tenant.dataset, {STATE: state})
    await claims.make_ready(tenant_id, schema_version=2)
    assert (await warehouse.get_dataset(tenant_id)).labels[STATE] == state


async def test_a_deleted_tenant_is_never_answered_again(warehouse: Warehouse) -> None:
    claims, tenant_id = Claims(warehouse, SystemClock()), f"t_{uuid.uuid4().hex[:16]}"
    request = digests(str(uuid.uuid4()))
    tenant = await claims.claim(tenant_id, request, location="US", labels={}, description="")
    await warehouse.set_labels(tenant.dataset, {STATE: "deleted"})
    with pytest.raises(TenantExists):
        await claims.claim(tenant_id, request, location="US", labels={}, description="")


async def test_one_request_id_with_another_body_is_refused(warehouse: Warehouse) -> None:
    claims, tenant_id, request_id = Claims(warehouse, SystemClock()), f"t_{uuid.uuid4().hex[:16]}", str(uuid.uuid4())
    await claims.claim(tenant_id, digests(request_id), location="US", labels={}, description="")
    with pytest.raises(RequestIdReused):
        await claims.claim(tenant_id, digests(request_id, a="b.c"), location="US", labels={}, description="")


def claims_when_aged(warehouse: Warehouse, tenant: TenantRecord, age: timedelta) -> Claims:
    """Claims by a clock by which the tenant's dataset is so old."""
    return Claims(warehouse, FakeClock(now=tenant.dataset.create_time + age))


async def test_a_request_id_is_answered_for_a_day_and_then_the_tenant_exists(warehouse: Warehouse) -> None:
    tenant_id, request = f"t_{uuid.uuid4().hex[:16]}", digests(str(uuid.uuid4()))
    made = await Claims(warehouse, SystemClock()).claim(tenant_id, request, location="US", labels={}, description="")
    await Claims(warehouse, SystemClock()).make_ready(tenant_id, schema_version=1)
    almost, later = (claims_when_aged(warehouse, made, DAY + timedelta(seconds=seconds)) for seconds in (-1, 0))
    again = await almost.claim(tenant_id, request, location="US", labels={}, description="")
    assert again.state == "ready"
    with pytest.raises(TenantExists):
        await later.claim(tenant_id, request, location="US", labels={}, description="")


@pytest.mark.parametrize("sources", [{}, {"a": "b.c"}], ids=["the same request", "another body"])
async def test_a_half_made_tenant_is_completed_at_any_age(warehouse: Warehouse, sources: dict[str, str]) -> None:
    tenant_id, request_id = f"t_{uuid.uuid4().hex[:16]}", str(uuid.uuid4())
    made = await Claims(warehouse, SystemClock()).claim(
        tenant_id, digests(request_id), location="US", labels={}, description=""
    )
    later = claims_when_aged(warehouse, made, 30 * DAY)
    taken_up = await later.claim(tenant_id, digests(request_id, **sources), location="US", labels={}, description="")
    assert (taken_up.state, claim_of(taken_up.dataset)) == ("creating", claim_of(made.dataset))
