"""TenantService over a real connection: every guarantee of Onboard, GetTenant and SetSources, on both warehouses."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from common.api_keys.hashing import digest
from common.errors import Unavailable
from common.tenants.tenant import REQUEST, STATE
from common.warehouse.warehouse import TableRef, Warehouse
from convergence.tenant.v1 import tenant_pb2
from convergence.tenant.v1 import tenant_service_pb2 as pb2
from tests.rpc.statuses import refused
from tests.rpc.tenant_stack import TenantStack, as_key, tenant_stack

TABLES = ["api_keys", "cloud_credentials", "pipeline_runs", "step_logs", "dq_results"]


@pytest.fixture
async def stack(warehouse: Warehouse, tmp_path: Path) -> AsyncIterator[TenantStack]:
    async with tenant_stack(tmp_path, warehouse) as running:
        yield running


def new_tenant() -> str:
    return f"t_{uuid.uuid4().hex[:16]}"


async def onboard(stack: TenantStack, tenant_id: str, **fields: object) -> pb2.OnboardResponse:
    request = pb2.OnboardRequest(tenant_id=tenant_id, **fields)  # type: ignore[arg-type]
    answer: pb2.OnboardResponse = await stack.stub.Onboard(request, metadata=stack.as_admin, timeout=60)
    return answer


async def test_onboard_makes_a_dataset_its_tables_and_one_key_that_works(
    stack: TenantStack, warehouse: Warehouse
) -> None:
    stack.runner.outcome = True
    tenant_id = new_tenant()
    answer = await onboard(stack, tenant_id)
    assert (answer.tenant_id, answer.dataset_created, list(answer.tables_created)) == (tenant_id, True, TABLES)
    assert answer.message == f"Customer {tenant_id} onboarded successfully"
    assert answer.dryrun_status == pb2.OnboardResponse.SUCCESS
    assert stack.runner.calls == [(tenant_id, answer.api_key)], "the dry run proves the new key itself"
    for table in [*TABLES, "audit_log", "tenant_settings"]:
        await warehouse.get_table(TableRef(tenant_id, table))
    tenant = await stack.stub.GetTenant(
        pb2.GetTenantRequest(tenant_id=tenant_id), metadata=as_key(answer.api_key), timeout=10
    )
    assert tenant.state == tenant_pb2.Tenant.READY
    assert dict(tenant.sources) == {"billing_export": f"billing_export_{tenant_id}.gcp_billing_export_v1"}


async def test_the_key_is_stored_as_digest_and_ciphertext_and_nowhere_in_clear(
    stack: TenantStack, warehouse: Warehouse
) -> None:
    tenant_id = new_tenant()
    answer = await onboard(stack, tenant_id)
    (row,) = await warehouse.list_rows(TableRef(tenant_id, "api_keys"))
    assert (row["key_hash"], row["hash_algorithm"]) == (digest(answer.api_key), "sha256")
    random = answer.api_key[-16:]
    assert random not in repr(row)
    assert random.encode() not in bytes(row["ciphertext"])  # type: ignore[arg-type]


async def test_the_same_request_id_gives_the_same_key_and_another_request_reuses_it_in_vain(stack: TenantStack) -> None:
    stack.runner.outcome = True
    tenant_id, request_id = new_tenant(), str(uuid.uuid4())
    first = await onboard(stack, tenant_id, request_id=request_id)
    stack.runner.outcome = False
    assert await onboard(stack, tenant_id, request_id=request_id) == first, "its dry-run status included"
    assert len(stack.runner.calls) == 1
    request = pb2.OnboardRequest(tenant_id=tenant_id, request_id=request_id, sources={"other": "p.d.t"})
    refusal = await refused(stack.stub.Onboard(request, metadata=stack.as_admin, timeout=60))
    assert (refusal.code, refusal.reason) == (
        "INVALID_ARGUMENT",
        "REQUEST_ID_REUSED",
    ) or refusal.reason == "FIELD_INVALID"


async def test_two_concurrent_onboards_with_one_request_id_make_one_key(
    stack: TenantStack, warehouse: Warehouse
) -> None:
    tenant_id, request_id = new_tenant(), str(uuid.uuid4())
    answers = await asyncio.gather(*(onboard(stack, tenant_id, request_id=request_id) for _ in range(4)))
    assert len({answer.api_key for answer in answers}) == 1
    assert len(await warehouse.list_rows(TableRef(tenant_id, "api_keys"))) == 1


async def test_a_tenant_that_exists_is_not_touched(stack: TenantStack, warehouse: Warehouse) -> None:
    tenant_id = new_tenant()
    await onboard(stack, tenant_id)
    before = await warehouse.get_dataset(tenant_id)
    for request_id in ("", str(uuid.uuid4())):
        request = pb2.OnboardRequest(tenant_id=tenant_id, request_id=request_id)
        refusal = await refused(stack.stub.Onboard(request, metadata=stack.as_admin, timeout=60))
        assert (refusal.code, refusal.reason) == ("ALREADY_EXISTS", "TENANT_EXISTS")
    assert await warehouse.get_dataset(tenant_id) == before
    assert len(await warehouse.list_rows(TableRef(tenant_id, "api_keys"))) == 1


async def test_a_dataset_that_is_not_ours_is_not_touched(stack: TenantStack, warehouse: Warehouse) -> None:
    tenant_id = new_tenant()
    before = await warehouse.create_dataset(tenant_id, location="US", labels={"owner": "somebody"})
    refusal = await refused(
        stack.stub.Onboard(pb2.OnboardRequest(tenant_id=tenant_id), metadata=stack.as_admin, timeout=60)
    )
    assert (refusal.code, refusal.reason) == ("ALREADY_EXISTS", "DATASET_TAKEN")
    assert await warehouse.get_dataset(tenant_id) == before


async def test_an_onboarding_that_was_cut_off_is_completed_by_another_request_with_the_same_key(
    stack: TenantStack, warehouse: Warehouse
) -> None:
    tenant_id, request_id = new_tenant(), str(uuid.uuid4())
    key = (await onboard(stack, tenant_id)).api_key
    dataset = await warehouse.get_dataset(tenant_id)
    await warehouse.set_labels(dataset, {STATE: "creating"})  # as a crash before the last step leaves it
    answer = await onboard(stack, tenant_id, request_id=request_id)
    assert answer.api_key == key
    assert (await onboard(stack, tenant_id, request_id=request_id)).api_key == key, "it is the answer's owner now"
    labels = (await warehouse.get_dataset(tenant_id)).labels
    assert labels[STATE] == "ready"
    assert len(labels[REQUEST]) == 32


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (True, pb2.OnboardResponse.SUCCESS),
        (False, pb2.OnboardResponse.FAILED),
        (TimeoutError(), pb2.OnboardResponse.FAILED),
        (Unavailable("away"), pb2.OnboardResponse.NOT_RUN),
    ],
)
async def test_a_dry_run_that_does_not_succeed_is_reported_and_not_fatal(
    stack: TenantStack, outcome: bool | Exception, status: int
) -> None:
    stack.runner.outcome = outcome
    assert (await onboard(stack, new_tenant())).dryrun_status == status


async def test_a_tenants_dataset_can_be_nobodys_source(stack: TenantStack, warehouse: Warehouse) -> None:
    victim, tenant_id = new_tenant(), new_tenant()
    await onboard(stack, victim)
    for table in (f"{victim}.cost_daily", f"local.{victim}.cost_daily", f"{new_tenant()}.t"):
        request = pb2.OnboardRequest(tenant_id=tenant_id, sources={"theirs": table})
        refusal = await refused(stack.stub.Onboard(request, metadata=stack.as_admin, timeout=10))
        assert (refusal.code, refusal.reason, refusal.fields) == (
            "INVALID_ARGUMENT",
            "TABLE_NOT_ALLOWED",
            ("sources.theirs",),
        )
    assert not [d for d in await warehouse.list_datasets(label="convergence") if d.dataset_id == tenant_id]


async def test_set_sources_replaces_all_grants(stack: TenantStack, warehouse: Warehouse) -> None:
    tenant_id, shared = new_tenant(), f"shared_{uuid.uuid4().hex[:8]}"
    await warehouse.create_dataset(shared, location="US", labels={})
    await onboard(stack, tenant_id)
    for sources in ({"a": f"{shared}.t", "b": "other-project.d.t"}, {"b": f"local.{shared}.u"}, {}):
        request = pb2.SetSourcesRequest(tenant_id=tenant_id, sources=sources)
        await stack.stub.SetSources(request, metadata=stack.as_admin, timeout=10)
        tenant = await stack.stub.GetTenant(
            pb2.GetTenantRequest(tenant_id=tenant_id), metadata=stack.as_admin, timeout=10
        )
        assert dict(tenant.sources) == {name: table.removeprefix("local.") for name, table in sources.items()}


async def test_an_unknown_tenant_is_not_found_for_an_admin(stack: TenantStack) -> None:
    unknown = new_tenant()
    for call in (
        stack.stub.GetTenant(pb2.GetTenantRequest(tenant_id=unknown), metadata=stack.as_admin, timeout=10),
        stack.stub.SetSources(pb2.SetSourcesRequest(tenant_id=unknown), metadata=stack.as_admin, timeout=10),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == ("NOT_FOUND", "TENANT_NOT_FOUND")
