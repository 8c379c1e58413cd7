"""What one tenant has, named by another or under another's name: the same bytes as for what never was, and nothing happens to it."""

from typing import Any

import pytest
import pytest_asyncio

from tests.rpc.statuses import Refusal
from tests.rpc.system import METHODS, NAMING_A_TENANT, NO_KEY, System, Tenant
from tests.rpc.tenant_stack import as_key

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGED = sorted(name for name in NAMING_A_TENANT if "page_token" in METHODS[name].input_type.fields_by_name)
NAME, SECRET = "shared_name", "the-rivals-own-token"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ours(system: System) -> Tenant:
    """A tenant of these tests alone."""
    return Tenant(*await system.pipelines.onboard(export=False))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def theirs(system: System) -> Tenant:
    """Another, with two of everything that is listed by pages."""
    tenant = Tenant(*await system.pipelines.onboard(export=False))
    for name in (NAME, "other_name"):
        put = {"tenant_id": tenant.tenant_id, "name": name, "generic_token": SECRET}
        await system.call("PutCredential", tenant.key, **put)
        await system.call("CreateKey", tenant.key, tenant_id=tenant.tenant_id, scopes=["runs:read"])
        await system.pipelines.run(tenant.tenant_id, tenant.key, "list", date="")
    return tenant


def the_same(refusals: list[Refusal], code: str, reason: str) -> bool:
    assert {(refusal.code, refusal.reason) for refusal in refusals} == {(code, reason)}
    return len({refusal.wire for refusal in refusals}) == 1


@pytest.mark.parametrize("method", ["RotateKey", "RevokeKey"])
async def test_another_tenants_key_id_is_one_that_never_was(
    system: System, ours: Tenant, theirs: Tenant, method: str
) -> None:
    created = await system.call("CreateKey", theirs.key, tenant_id=theirs.tenant_id, scopes=["runs:read"])
    refusals = await system.refusals(
        *(
            (method, caller, {"tenant_id": ours.tenant_id, "key_id": key_id})
            for caller in (ours.key, system.admin)
            for key_id in (created.key.key_id, NO_KEY)
        )
    )
    assert the_same(refusals, "NOT_FOUND", "KEY_NOT_FOUND")
    await system.call("GetTenant", as_key(created.api_key), tenant_id=theirs.tenant_id)
    (key,) = [key for key in await listed(system, theirs, "ListKeys", "keys") if key.key_id == created.key.key_id]
    assert (key.State.Name(key.state), key.superseded_by) == ("ACTIVE", "")


async def test_another_tenants_credential_is_one_that_never_was(system: System, ours: Tenant, theirs: Tenant) -> None:
    refusals = await system.refusals(
        *(
            ("DeleteCredential", caller, {"tenant_id": ours.tenant_id, "name": name})
            for caller in (ours.key, system.admin)
            for name in (NAME, "never_put")
        )
    )
    assert the_same(refusals, "NOT_FOUND", "CREDENTIAL_NOT_FOUND")
    assert not await listed(system, ours, "ListCredentials", "credentials")
    names = [credential.name for credential in await listed(system, theirs, "ListCredentials", "credentials")]
    assert names == ["other_name", NAME]


@pytest.mark.parametrize("method", PAGED)
async def test_another_tenants_page_token_is_none(system: System, ours: Tenant, theirs: Tenant, method: str) -> None:
    first = await system.call(method, theirs.key, tenant_id=theirs.tenant_id, page_size=1)
    assert first.next_page_token, "give the fixture two of these"
    refusals = await system.refusals(
        *(
            (method, caller, {"tenant_id": ours.tenant_id, "page_token": token})
            for caller in (ours.key, system.admin)
            for token in (first.next_page_token, "never-was")
        )
    )
    assert the_same(refusals, "INVALID_ARGUMENT", "FIELD_INVALID")
    assert refusals[0].fields == ("page_token",)
    again = {"tenant_id": theirs.tenant_id, "page_size": 1, "page_token": first.next_page_token}
    assert await system.call(method, theirs.key, **again) != first, "to its own tenant it is the next page"


async def listed(system: System, tenant: Tenant, method: str, field: str) -> list[Any]:
    """All that a method lists of a tenant."""
    return list(getattr(await system.call(method, tenant.key, tenant_id=tenant.tenant_id), field))
