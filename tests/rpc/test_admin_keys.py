"""Admin keys rotate without downtime: settings name any number of them, by their digests."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from common.api_keys.hashing import digest_of
from common.api_keys.key import mint_admin
from convergence.tenant.v1 import tenant_service_pb2 as pb2
from tests.local_kms import emulator
from tests.rpc.statuses import refused
from tests.rpc.tenant_stack import TenantStack, as_key, tenant_stack
from tests.warehouses import LocalServer

OLD, NEW, GONE = mint_admin(), mint_admin(), mint_admin()


@pytest.fixture
async def releases(local_server: LocalServer, tmp_path: Path) -> AsyncIterator[dict[str, TenantStack]]:
    """The service as it is deployed one time after another."""
    warehouse = local_server.connect()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(warehouse.close)
        kms_address = await stack.enter_async_context(emulator(tmp_path / "kms"))

        async def deployed(*admins: Any) -> TenantStack:
            hashes = ",".join(digest_of(admin) for admin in admins)
            return await stack.enter_async_context(
                tenant_stack(tmp_path, warehouse, kms_address=kms_address, admin_key_hashes=hashes)
            )

        yield {"with both": await deployed(OLD, NEW), "with the new one": await deployed(NEW)}


def list_tenants(stack: TenantStack, key: str) -> Any:
    return stack.stub.ListTenants(pb2.ListTenantsRequest(page_size=1), metadata=as_key(key), timeout=10)


@pytest.mark.parametrize(
    ("release", "admin"), [("with both", OLD), ("with both", NEW), ("with the new one", NEW)], ids=str
)
async def test_each_key_whose_digest_is_set_is_an_admins(
    releases: dict[str, TenantStack], release: str, admin: Any
) -> None:
    await list_tenants(releases[release], admin.reveal())


@pytest.mark.parametrize(("release", "admin"), [("with both", GONE), ("with the new one", OLD)], ids=str)
async def test_a_key_whose_digest_is_not_set_any_more_is_nobodys(
    releases: dict[str, TenantStack], release: str, admin: Any
) -> None:
    refusal = await refused(list_tenants(releases[release], admin.reveal()))
    assert (refusal.code, refusal.reason) == ("UNAUTHENTICATED", "API_KEY_INVALID")
