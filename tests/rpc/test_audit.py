"""What TenantService records of its calls, and what a request_id does to them, over a real connection and on both warehouses."""

import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from common.errors import Terminal
from common.warehouse.warehouse import TableRef, Warehouse
from convergence.tenant.v1 import api_key_pb2, audit_record_pb2, tenant_pb2
from convergence.tenant.v1 import tenant_service_pb2 as pb2
from tests.refusing_warehouse import RefusingWarehouse
from tests.rpc.statuses import refused
from tests.rpc.tenant_stack import TenantStack, as_key, tenant_stack

SERVICE = "/convergence.tenant.v1.TenantService"
NO_KMS = "127.0.0.1:1"


@pytest.fixture
async def stack(warehouse: Warehouse, tmp_path: Path) -> AsyncIterator[TenantStack]:
    async with tenant_stack(tmp_path, warehouse) as running:
        yield running


@pytest.fixture
def tenant_id() -> str:
    return f"t_{uuid.uuid4().hex[:16]}"


def onboard(stack: TenantStack, tenant_id: str, **fields: Any) -> Any:
    metadata = (*stack.as_admin, ("x-correlation-id", "onboarding"))
    return stack.stub.Onboard(pb2.OnboardRequest(tenant_id=tenant_id, **fields), metadata=metadata, timeout=60)


async def set_sources(stack: TenantStack, tenant_id: str, table: str, request_id: str = "") -> tenant_pb2.Tenant:
    request = pb2.SetSourcesRequest(tenant_id=tenant_id, sources={"export": table}, request_id=request_id)
    tenant: tenant_pb2.Tenant = await stack.stub.SetSources(request, metadata=stack.as_admin, timeout=60)
    return tenant


async def records(
    stack: TenantStack, tenant_id: str, key: Any = None, **fields: Any
) -> Sequence[audit_record_pb2.AuditRecord]:
    request = audit_record_pb2.ListAuditRecordsRequest(tenant_id=tenant_id, **fields)
    answer = await stack.stub.ListAuditRecords(request, metadata=key or stack.as_admin, timeout=60)
    assert not answer.next_page_token
    return list(answer.records)


async def outcomes(stack: TenantStack, tenant_id: str) -> list[tuple[str, str, str]]:
    """Method, outcome and reason of every record, the earliest first."""
    listed = reversed(await records(stack, tenant_id))
    return [(record.method.removeprefix(f"{SERVICE}/"), record.outcome, record.reason) for record in listed]


async def test_a_tenants_key_lists_its_onboarding_and_what_was_done_since(stack: TenantStack, tenant_id: str) -> None:
    key = as_key((await onboard(stack, tenant_id)).api_key)
    await set_sources(stack, tenant_id, "other-project.d.t")
    later, earlier = await records(stack, tenant_id, key)
    assert (earlier.tenant_id, earlier.method, earlier.outcome) == (tenant_id, f"{SERVICE}/Onboard", "OK")
    assert (later.method, later.outcome, later.reason, later.resource) == (f"{SERVICE}/SetSources", "OK", "", "")
    assert earlier.principal.startswith("admin:")
    assert earlier.correlation_id == "onboarding"
    times = [earlier.attempt_time, earlier.outcome_time, later.attempt_time, later.outcome_time]
    assert [time.ToNanoseconds() for time in times] == sorted(time.ToNanoseconds() for time in times)
    assert await records(stack, tenant_id, key, start_time=later.attempt_time) == [later]
    assert await records(stack, tenant_id, key, end_time=later.attempt_time) == [earlier]


async def test_the_key_that_was_made_or_rotated_is_told_although_no_call_named_it(
    stack: TenantStack, tenant_id: str
) -> None:
    key = as_key((await onboard(stack, tenant_id)).api_key)
    make = api_key_pb2.CreateKeyRequest(tenant_id=tenant_id, scopes=["runs:read"])
    made = await stack.stub.CreateKey(make, metadata=key, timeout=60)
    rotated = await stack.stub.RotateKey(api_key_pb2.RotateKeyRequest(tenant_id=tenant_id), metadata=key, timeout=60)
    rotation, creation, _ = await records(stack, tenant_id)
    assert (creation.resource, creation.principal) == (made.key.key_id, rotated.superseded_key.key_id)
    assert (rotation.resource, rotation.principal) == (rotated.superseded_key.key_id,) * 2


async def test_an_onboarding_that_failed_is_recorded_as_that_and_its_completion_too(
    stack: TenantStack, warehouse: Warehouse, tenant_id: str, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    async with tenant_stack(tmp_path / "other", warehouse, kms_address=NO_KMS) as without_kms:
        assert (await refused(onboard(without_kms, tenant_id))).code == "UNAVAILABLE"
    await onboard(stack, tenant_id)
    assert await outcomes(stack, tenant_id) == [
        ("Onboard", "UNAVAILABLE", "DEPENDENCY_UNAVAILABLE"),
        ("Onboard", "OK", ""),
    ]


async def test_showing_the_key_again_is_recorded_and_refusing_to_is_not(stack: TenantStack, tenant_id: str) -> None:
    request_id = str(uuid.uuid4())
    for _ in range(2):
        await onboard(stack, tenant_id, request_id=request_id)
    refusal = await refused(onboard(stack, tenant_id))
    assert refusal.reason == "TENANT_EXISTS", "the tenant is not touched, its audit log neither"
    assert await outcomes(stack, tenant_id) == [("Onboard", "OK", "")] * 2


async def test_an_onboarding_that_cannot_be_recorded_makes_no_key_and_succeeds_later(
    stack: TenantStack, warehouse: Warehouse, tenant_id: str, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    refusing: Any = RefusingWarehouse(warehouse, "_attempt", Terminal("refused"))
    async with tenant_stack(tmp_path / "other", refusing) as unrecorded:
        refusal = await refused(onboard(unrecorded, tenant_id))
    assert (refusal.code, refusal.retry) == ("UNAVAILABLE", True)
    assert not await warehouse.list_rows(TableRef(tenant_id, "api_keys"))
    await onboard(stack, tenant_id)
    assert len(await warehouse.list_rows(TableRef(tenant_id, "api_keys"))) == 1


async def test_what_cannot_be_recorded_is_not_done(
    stack: TenantStack, warehouse: Warehouse, tenant_id: str, tmp_path: Path
) -> None:
    await onboard(stack, tenant_id, sources={"export": "other-project.d.before"})
    (tmp_path / "other").mkdir()
    for part, request_id in (("_attempt", ""), ("claim_", str(uuid.uuid4()))):
        refusing: Any = RefusingWarehouse(warehouse, part, Terminal("refused"))
        async with tenant_stack(tmp_path / "other", refusing) as unrecorded:
            refusal = await refused(set_sources(unrecorded, tenant_id, "other-project.d.after", request_id))
        assert (refusal.code, refusal.reason, refusal.retry) == ("UNAVAILABLE", "DEPENDENCY_UNAVAILABLE", True)
    tenant = await stack.stub.GetTenant(pb2.GetTenantRequest(tenant_id=tenant_id), metadata=stack.as_admin, timeout=10)
    assert dict(tenant.sources) == {"export": "other-project.d.before"}


async def test_a_repeat_is_not_applied_again_and_so_does_not_undo_what_was_set_since(
    stack: TenantStack, tenant_id: str
) -> None:
    await onboard(stack, tenant_id)
    request_id = str(uuid.uuid4())
    first = await set_sources(stack, tenant_id, "other-project.d.first", request_id)
    assert dict(first.sources) == {"export": "other-project.d.first"}
    await set_sources(stack, tenant_id, "other-project.d.second")
    again = await set_sources(stack, tenant_id, "other-project.d.first", request_id)
    assert dict(again.sources) == {"export": "other-project.d.second"}

    refusal = await refused(set_sources(stack, tenant_id, "other-project.d.third", request_id))
    assert (refusal.code, refusal.reason, refusal.fields) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED", ("request_id",))
    assert await outcomes(stack, tenant_id) == [
        ("Onboard", "OK", ""),
        *[("SetSources", "OK", "")] * 3,
        ("SetSources", "INVALID_ARGUMENT", "REQUEST_ID_REUSED"),
    ]
