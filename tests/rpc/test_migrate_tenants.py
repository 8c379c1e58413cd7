"""Tenants of earlier versions: they are brought up by MigrateTenants, whatever comes in between, and by whatever acts on them before."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest
import structlog

from common.errors import Terminal
from common.tenants.tenant import SCHEMA
from common.warehouse.columns import Column
from common.warehouse.warehouse import TableRef, Warehouse
from convergence.errors.v1 import error_reason_pb2 as reasons
from convergence.tenant.v1 import maintenance_pb2 as pb2
from convergence.tenant.v1 import tenant_pb2
from convergence.tenant.v1 import tenant_service_pb2 as tenants_pb2
from tests.rpc.earlier_release import CURRENT, NOW, OldTenant, old_tenant, specs_of
from tests.rpc.own_warehouse import own_warehouse
from tests.rpc.statuses import refused
from tests.rpc.tenant_stack import TenantStack, as_key, tenant_stack
from tests.warehouses import KINDS

Answer = pb2.MigrateTenantsResponse
Connect = Callable[[], Warehouse]
METHOD = "/convergence.tenant.v1.TenantService/MigrateTenants"
CHANGES = frozenset({"create_table", "add_columns", "set_labels", "submit"})


@pytest.fixture(params=KINDS)
async def connect(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Connect]:
    async with own_warehouse(request.param, tmp_path) as running:
        yield running


@pytest.fixture
def warehouse(connect: Connect) -> Warehouse:
    return connect()


@pytest.fixture
async def stack(warehouse: Warehouse, tmp_path: Path) -> AsyncIterator[TenantStack]:
    async with tenant_stack(tmp_path, warehouse) as running:
        yield running


async def migrate(stack: TenantStack, tenant_id: str = "") -> list[Answer]:
    request = pb2.MigrateTenantsRequest(tenant_id=tenant_id)
    return [answer async for answer in stack.stub.MigrateTenants(request, metadata=stack.as_admin, timeout=60)]


async def shown_version(stack: TenantStack, tenant: OldTenant) -> int:
    request = tenants_pb2.GetTenantRequest(tenant_id=tenant.tenant_id)
    return int((await stack.stub.GetTenant(request, metadata=tenant.key, timeout=10)).schema_version)


async def onboard(stack: TenantStack) -> str:
    request = tenants_pb2.OnboardRequest(tenant_id=f"t_new_{len(stack.runner.calls)}")
    return str((await stack.stub.Onboard(request, metadata=stack.as_admin, timeout=60)).tenant_id)


async def audited(warehouse: Warehouse, tenant_id: str, method: str = METHOD) -> list[tuple[object, object]]:
    rows = await warehouse.list_rows(TableRef(tenant_id, "audit_log"))
    return sorted((str(row["phase"]), row["outcome"]) for row in rows if row["method"] == method)


async def test_tenants_of_version_1_are_brought_to_this_one_and_told_of_one_by_one(
    stack: TenantStack, warehouse: Warehouse
) -> None:
    old = [
        await old_tenant(warehouse, stack.cipher),
        await old_tenant(warehouse, stack.cipher, state="suspended"),
        await old_tenant(warehouse, stack.cipher, without=frozenset({"tenant_settings", "audit_log"})),
    ]
    left = [
        await old_tenant(warehouse, stack.cipher, state="deleted"),
        await old_tenant(warehouse, stack.cipher, state="creating"),
    ]
    new = await onboard(stack)
    assert [await shown_version(stack, tenant) for tenant in old] == [1, 1, 1]

    answers = {answer.tenant_id: answer for answer in await migrate(stack)}
    assert answers.keys() == {new, *(tenant.tenant_id for tenant in old)}
    assert {answer.done_tenant_count for answer in answers.values()} == {1, 2, 3, 4}
    assert {answer.tenant_count for answer in answers.values()} == {4}
    assert (answers[new].result, answers[new].from_schema_version) == (Answer.CURRENT, NOW.schema_version)
    for tenant in old:
        answer = answers[tenant.tenant_id]
        versions = (answer.from_schema_version, answer.to_schema_version)
        assert (answer.result, versions, answer.error) == (Answer.MIGRATED, (1, NOW.schema_version), 0)
        assert await shown_version(stack, tenant) == NOW.schema_version
        assert await specs_of(warehouse, tenant.tenant_id) == CURRENT
        assert await audited(warehouse, tenant.tenant_id) == [("ATTEMPT", None), ("OUTCOME", "OK")]
    for tenant in left:
        assert SCHEMA not in (await warehouse.get_dataset(tenant.tenant_id)).labels

    assert {answer.result for answer in await migrate(stack)} == {Answer.CURRENT}
    assert await audited(warehouse, old[0].tenant_id) == [("ATTEMPT", None), ("OUTCOME", "OK")], "nothing was done"


async def test_one_tenant_is_migrated_where_one_is_named(stack: TenantStack, warehouse: Warehouse) -> None:
    named, other = [await old_tenant(warehouse, stack.cipher) for _ in range(2)]
    (answer,) = await migrate(stack, named.tenant_id)
    assert (answer.tenant_id, answer.result, answer.done_tenant_count, answer.tenant_count) == (
        named.tenant_id,
        Answer.MIGRATED,
        1,
        1,
    )
    assert [await shown_version(stack, tenant) for tenant in (named, other)] == [NOW.schema_version, 1]


async def test_a_tenant_that_cannot_be_migrated_is_refused_by_what_it_is(
    stack: TenantStack, warehouse: Warehouse
) -> None:
    await warehouse.create_dataset("not_ours", location="US", labels={})
    creating = await old_tenant(warehouse, stack.cipher, state="creating")
    deleted = await old_tenant(warehouse, stack.cipher, state="deleted")
    for tenant_id, expected in (
        ("nobody_at_all", ("NOT_FOUND", "TENANT_NOT_FOUND")),
        ("not_ours", ("NOT_FOUND", "TENANT_NOT_FOUND")),
        (deleted.tenant_id, ("NOT_FOUND", "TENANT_NOT_FOUND")),
        (creating.tenant_id, ("FAILED_PRECONDITION", "TENANT_NOT_READY")),
        ("A-b", ("INVALID_ARGUMENT", "FIELD_INVALID")),
    ):
        refusal = await refused(migrate(stack, tenant_id))
        assert (refusal.code, refusal.reason) == expected


class Stopping:
    """A warehouse that makes so many changes of a migration, one after the other, and refuses the next."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self.allowed = 1_000_000
        self._turn = asyncio.Lock()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._warehouse, name)
        if name not in CHANGES:
            return method

        async def change(*args: Any, **kwargs: Any) -> Any:
            if name == "submit" and not args[0].job_id.startswith("audit_"):
                return await method(*args, **kwargs)
            async with self._turn:
                if self.allowed <= 0:
                    raise Terminal("stopped here")
                result = await method(*args, **kwargs)
                self.allowed -= 1
                return result

        return change


async def test_a_migration_that_was_stopped_after_each_of_its_changes_goes_on_when_called_again(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    stopping = Stopping(warehouse)
    async with tenant_stack(tmp_path, cast("Warehouse", stopping)) as stack:
        tenant = await old_tenant(warehouse, stack.cipher, without=frozenset({"tenant_settings"}))
        failures = 0
        while True:
            stopping.allowed = failures + 1
            (answer,) = await migrate(stack, tenant.tenant_id)
            if answer.result != Answer.FAILED:
                break
            failures += 1
            assert answer.error in (reasons.DEPENDENCY_UNAVAILABLE, reasons.INTERNAL)
            assert await shown_version(stack, tenant) == 1, "it works meanwhile, and shows no version that it has not"
        assert answer.result == Answer.MIGRATED
        assert failures >= 2, "the tables, the record, the label"
        assert await shown_version(stack, tenant) == NOW.schema_version
        assert await specs_of(warehouse, tenant.tenant_id) == CURRENT


async def test_migrations_at_once_by_two_servers_end_as_one_does(connect: Connect, tmp_path: Path) -> None:
    one, two = connect(), connect()
    (tmp_path / "two").mkdir()
    async with tenant_stack(tmp_path, one) as first, tenant_stack(tmp_path / "two", two) as second:
        old = [await old_tenant(one, first.cipher, without=frozenset({"dq_results"})) for _ in range(6)]
        for answers in await asyncio.gather(*(migrate(stack) for stack in (first, second, first, second))):
            assert {answer.result for answer in answers} <= {Answer.MIGRATED, Answer.CURRENT}
        for tenant in old:
            assert await shown_version(first, tenant) == NOW.schema_version
            assert await specs_of(two, tenant.tenant_id) == CURRENT


async def test_a_column_of_another_type_fails_its_tenant_alone_and_the_log_says_where(
    stack: TenantStack, warehouse: Warehouse
) -> None:
    wrong, right = [await old_tenant(warehouse, stack.cipher) for _ in range(2)]
    await warehouse.add_columns(TableRef(wrong.tenant_id, "audit_log"), [Column("BODY_digest", "INT64")])
    with structlog.testing.capture_logs() as logs:
        answers = {answer.tenant_id: answer for answer in await migrate(stack)}
    failed = answers[wrong.tenant_id]
    assert (failed.result, failed.error) == (Answer.FAILED, reasons.TENANT_SCHEMA_CONFLICT)
    assert answers[right.tenant_id].result == Answer.MIGRATED
    (told,) = [log for log in logs if log["event"] == "a column is of another type than in the schema"]
    assert (told["tenant_id"], told["table"], told["column"]) == (wrong.tenant_id, "audit_log", "BODY_digest")
    assert await shown_version(stack, wrong) == 1

    request = tenants_pb2.SetSourcesRequest(tenant_id=wrong.tenant_id)
    refusal = await refused(stack.stub.SetSources(request, metadata=stack.as_admin, timeout=30))
    assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "TENANT_SCHEMA_CONFLICT")


async def test_the_first_act_on_a_tenant_of_version_1_brings_it_up(stack: TenantStack, warehouse: Warehouse) -> None:
    tenant = await old_tenant(warehouse, stack.cipher, without=frozenset({"audit_log"}))
    request = tenants_pb2.SetSourcesRequest(tenant_id=tenant.tenant_id, request_id=str(uuid.uuid4()))
    for _ in range(2):
        await stack.stub.SetSources(request, metadata=stack.as_admin, timeout=30)
    assert await shown_version(stack, tenant) == NOW.schema_version
    assert await specs_of(warehouse, tenant.tenant_id) == CURRENT
    method = METHOD.replace("MigrateTenants", "SetSources")
    assert ("OUTCOME", "OK") in await audited(warehouse, tenant.tenant_id, method)


async def test_an_onboarding_that_an_earlier_release_left_half_made_ends_at_this_version(
    stack: TenantStack, warehouse: Warehouse
) -> None:
    tenant = await old_tenant(warehouse, stack.cipher, state="creating", without=frozenset({"pipeline_runs"}))
    request = tenants_pb2.OnboardRequest(tenant_id=tenant.tenant_id)
    answer = await stack.stub.Onboard(request, metadata=stack.as_admin, timeout=60)
    get = tenants_pb2.GetTenantRequest(tenant_id=tenant.tenant_id)
    shown = await stack.stub.GetTenant(get, metadata=as_key(answer.api_key), timeout=10)
    assert (shown.state, shown.schema_version) == (tenant_pb2.Tenant.READY, NOW.schema_version)
    assert await specs_of(warehouse, tenant.tenant_id) == CURRENT


async def test_a_tenant_of_a_later_version_is_left_as_it_is(stack: TenantStack, warehouse: Warehouse) -> None:
    tenant_id = await onboard(stack)
    later = NOW.schema_version + 1
    await warehouse.set_labels(await warehouse.get_dataset(tenant_id), {SCHEMA: str(later)})
    (answer,) = await migrate(stack, tenant_id)
    assert (answer.result, answer.from_schema_version) == (Answer.CURRENT, later)
    request = tenants_pb2.SetSourcesRequest(tenant_id=tenant_id)
    shown = await stack.stub.SetSources(request, metadata=stack.as_admin, timeout=30)
    assert shown.schema_version == later
