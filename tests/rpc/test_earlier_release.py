"""A tenant of the previous release is as good as a new one: every method ends for it as for one that was onboarded just now."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import message_factory

from common.secret import Secret
from common.warehouse.warehouse import Warehouse
from convergence.pipeline.v1 import pipeline_service_pb2, run_pb2
from convergence.tenant.v1 import tenant_service_pb2
from tests.rpc.earlier_release import NOW, old_tenant
from tests.rpc.pipeline_stack import PipelineStack, pipeline_stack
from tests.rpc.statuses import ANSWERED, Outcome, outcome_of
from tests.rpc.system import ADMIN_METHODS, GOOD, METHODS, NAMING_A_TENANT, Tenant
from tests.rpc.tenant_stack import TenantStack, as_key, tenant_stack

TENANT_SERVICE = sorted(name for name in NAMING_A_TENANT if METHODS[name].containing_service.name == "TenantService")
FIELDS: Mapping[str, Mapping[str, Any]] = {**GOOD, "RotateKey": {}, "RevokeKey": {"all": True}}
BEFORE = {"DeleteCredential": "PutCredential"}
"""What makes there be what a method is about."""


class NoRuns:
    """There are none to cancel."""

    async def cancel_runs(self, admin_key: Secret, tenant_id: str) -> None:
        return


@pytest.fixture
async def stack(warehouse: Warehouse, tmp_path: Path) -> AsyncIterator[TenantStack]:
    async with tenant_stack(tmp_path, warehouse) as running:
        running.runner.canceller = NoRuns()
        yield running


async def end_of(stack: TenantStack, method: str, tenant: Tenant) -> Outcome:
    """How a method ends for a tenant."""
    if before := BEFORE.get(method):
        assert await end_of(stack, before, tenant) == ANSWERED
    request_type = message_factory.GetMessageClass(METHODS[method].input_type)
    confirmed = {"confirmation": tenant.tenant_id} if "confirmation" in request_type.DESCRIPTOR.fields_by_name else {}
    request = request_type(tenant_id=tenant.tenant_id, **FIELDS.get(method, {}), **confirmed)
    key = stack.as_admin if method in ADMIN_METHODS else tenant.key
    return await outcome_of(getattr(stack.stub, method)(request, metadata=key, timeout=60))


async def test_every_method_ends_for_a_tenant_of_version_1_as_for_a_new_one(
    stack: TenantStack, warehouse: Warehouse
) -> None:
    async def old(method: str) -> Outcome:
        made = await old_tenant(warehouse, stack.cipher, without=frozenset({"audit_log"}))
        return await end_of(stack, method, Tenant(made.tenant_id, made.key))

    async def new(method: str) -> Outcome:
        request = tenant_service_pb2.OnboardRequest(tenant_id=f"t_new_{method.lower()}_{id(stack)}")
        answer = await stack.stub.Onboard(request, metadata=stack.as_admin, timeout=60)
        return await end_of(stack, method, Tenant(answer.tenant_id, as_key(answer.api_key)))

    olds = dict(zip(TENANT_SERVICE, await asyncio.gather(*map(old, TENANT_SERVICE)), strict=True))
    news = dict(zip(TENANT_SERVICE, await asyncio.gather(*map(new, TENANT_SERVICE)), strict=True))
    assert olds == news
    assert {method for method, outcome in olds.items() if outcome != ANSWERED} == {"Onboard"}, "it exists"


@pytest.fixture
async def pipelines(
    warehouse: Warehouse, stack: TenantStack, temporal_address: str, tmp_path: Path
) -> AsyncIterator[PipelineStack]:
    project = {"project": "local"}
    async with pipeline_stack(tmp_path, warehouse, stack, temporal_address, **project) as running:
        yield running


@pytest.mark.parametrize("connect", ["local"], indirect=True)
async def test_a_tenant_of_version_1_runs_and_reads_before_it_is_migrated(
    pipelines: PipelineStack, warehouse: Warehouse
) -> None:
    tenant = await old_tenant(warehouse, pipelines.tenants.cipher)
    run = await pipelines.run(tenant.tenant_id, tenant.key, "list", date="")
    assert run.status == run_pb2.Run.COMPLETE, run
    get = pipeline_service_pb2.GetRunRequest(pipeline_logging_id=run.pipeline_logging_id)
    assert await pipelines.stub.GetRun(get, metadata=tenant.key, timeout=10) == run
    assert await pipelines.rows(tenant.tenant_id, tenant.key, "numbers") == [{"number": "1"}]
    shown = await pipelines.tenants.stub.GetTenant(
        tenant_service_pb2.GetTenantRequest(tenant_id=tenant.tenant_id), metadata=tenant.key, timeout=10
    )
    assert shown.schema_version == 1 < NOW.schema_version, "nobody has acted on it"
