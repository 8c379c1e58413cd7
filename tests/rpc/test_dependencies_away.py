"""KMS or the warehouse away: UNAVAILABLE with RetryInfo, nothing half done, and the same call succeeds once it is back."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from common.api_keys.hashing import digest
from common.api_keys.key import mint
from common.tenants.tenant import STATE
from common.warehouse.warehouse import TableRef, Warehouse
from convergence.pipeline.v1 import pipeline_service_pb2 as pb2
from convergence.pipeline.v1 import plan_pb2, run_pb2
from convergence.tenant.v1 import api_key_pb2
from convergence.tenant.v1 import tenant_service_pb2 as tenants_pb2
from tests.local_kms import KEY, EmulatorProcess
from tests.rpc.held_warehouse import HeldWarehouse
from tests.rpc.pipeline_stack import DAY, PipelineStack, pipeline_stack
from tests.rpc.statuses import ANSWERED, Refusal, refused, until
from tests.rpc.tenant_stack import TenantStack, as_key, tenant_stack
from tests.warehouses import LocalServer

BOUND_SECONDS = 1.0
AWAY = ("UNAVAILABLE", "DEPENDENCY_UNAVAILABLE")
LET_IN = ("INVALID_ARGUMENT", "FIELD_INVALID")


def is_away(refusal: Refusal) -> bool:
    return (refusal.code, refusal.reason, refusal.retry) == (*AWAY, True)


class Kms:
    """A KMS emulator on one folder and one port, which can go away and come back."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = EmulatorProcess(folder, "--key", KEY)
        self.address = self._process.address

    def go(self) -> None:
        """kill -9."""
        self._process.__exit__()

    def come_back(self) -> None:
        """Serve again, with the same keys."""
        self._process = EmulatorProcess(self._folder, "--key", KEY, "--port", self.address.partition(":")[2])


@pytest.fixture
async def held(local_server: LocalServer) -> AsyncIterator[HeldWarehouse]:
    warehouse = local_server.connect()
    yield HeldWarehouse(warehouse, part="_key_")
    await warehouse.close()


@pytest.fixture
async def kms(tmp_path: Path) -> AsyncIterator[Kms]:
    running = Kms(tmp_path / "kms")
    yield running
    running.go()


@pytest.fixture
async def tenants(held: HeldWarehouse, kms: Kms, tmp_path: Path) -> AsyncIterator[TenantStack]:
    async with tenant_stack(tmp_path, cast("Warehouse", held), kms_address=kms.address) as running:
        yield running


def onboarding() -> tenants_pb2.OnboardRequest:
    return tenants_pb2.OnboardRequest(tenant_id=f"t_{uuid.uuid4().hex[:16]}", request_id=str(uuid.uuid4()))


async def test_an_onboarding_without_kms_is_unavailable_and_completed_by_the_same_call(
    tenants: TenantStack, held: HeldWarehouse, kms: Kms
) -> None:
    def onboard() -> Any:
        return tenants.stub.Onboard(request, metadata=tenants.as_admin, timeout=60)

    before, request = onboarding(), onboarding()
    old = await tenants.stub.Onboard(before, metadata=tenants.as_admin, timeout=60)
    calls = list(tenants.runner.calls)
    kms.go()
    assert is_away(await refused(onboard()))
    labels = (await held.get_dataset(request.tenant_id)).labels
    assert labels[STATE] == "creating", "no caller can take it for a tenant"
    assert await held.list_rows(TableRef(request.tenant_id, "api_keys")) == []
    assert tenants.runner.calls == calls
    get = tenants_pb2.GetTenantRequest(tenant_id=before.tenant_id)
    await tenants.stub.GetTenant(get, metadata=as_key(old.api_key), timeout=10)  # keys are verified without KMS

    kms.come_back()
    answer = await onboard()
    (row,) = await held.list_rows(TableRef(request.tenant_id, "api_keys"))
    assert row["key_hash"] == digest(answer.api_key)
    assert await onboard() == answer
    get = tenants_pb2.GetTenantRequest(tenant_id=request.tenant_id)
    await tenants.stub.GetTenant(get, metadata=as_key(answer.api_key), timeout=10)


async def test_an_onboarding_that_loses_kms_after_its_key_was_made_ends_with_that_key(
    tenants: TenantStack, held: HeldWarehouse, kms: Kms
) -> None:
    request = onboarding()
    held.hold()
    call = asyncio.create_task(refused(tenants.stub.Onboard(request, metadata=tenants.as_admin, timeout=60)))
    await held.waiting.wait()
    kms.go()
    held.release()
    assert is_away(await call)
    (row,) = await held.list_rows(TableRef(request.tenant_id, "api_keys"))

    kms.come_back()
    answer = await tenants.stub.Onboard(request, metadata=tenants.as_admin, timeout=60)
    assert digest(answer.api_key) == row["key_hash"]
    assert await held.list_rows(TableRef(request.tenant_id, "api_keys")) == [row]


@pytest.fixture
async def own_server(tmp_path: Path) -> AsyncIterator[LocalServer]:
    """A warehouse server that no other test needs."""
    (tmp_path / "warehouse").mkdir()
    server = LocalServer(tmp_path / "warehouse")
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def stack(own_server: LocalServer, temporal_address: str, tmp_path: Path) -> AsyncIterator[PipelineStack]:
    warehouse = own_server.connect()
    bounds = {"auth_bound_seconds": BOUND_SECONDS, "auth_wait_seconds": 0.5}
    async with (
        tenant_stack(tmp_path, warehouse) as tenants,
        pipeline_stack(tmp_path, warehouse, tenants, temporal_address, **bounds) as running,
    ):
        yield running
    await warehouse.close()


@pytest.mark.parametrize(
    ("go", "come_back"), [(LocalServer.kill, LocalServer.start), (LocalServer.hang, LocalServer.go_on)]
)
async def test_without_the_warehouse_a_good_key_is_never_called_bad(
    stack: PipelineStack,
    own_server: LocalServer,
    go: Callable[[LocalServer], None],
    come_back: Callable[[LocalServer], None],
) -> None:
    tenant_id, key = await stack.onboard()
    run = await stack.run(tenant_id, key)
    go(own_server)

    def listed(metadata: Any = key) -> Any:
        return stack.stub.ListTemplates(pb2.ListTemplatesRequest(), metadata=metadata, timeout=10)

    seen = await until(listed, AWAY, seconds=BOUND_SECONDS + 5)
    assert seen <= {ANSWERED}, "known keys are trusted within the bound, and nobody is beyond it"
    for unknown in (mint(tenant_id), mint("nobody_at_all")):
        assert is_away(await refused(listed(as_key(unknown.reveal()))))
    assert (await refused(listed(as_key("nonsense")))).code == "UNAUTHENTICATED", "this needs no warehouse to tell"

    admin = stack.tenants.as_admin
    read = pb2.ReadTableRequest(tenant_id=tenant_id, table="cost")
    get = pb2.GetRunRequest(tenant_id=tenant_id, pipeline_logging_id=run.pipeline_logging_id)
    plan = plan_pb2.PlanTemplateRequest(
        tenant_id=tenant_id, provider="gcp", domain="test", template_name="daily", date=DAY
    )
    refusals = await asyncio.gather(
        refused(stack.start(tenant_id, admin)),
        refused(stack.stub.PlanTemplate(plan, metadata=admin, timeout=30)),
        refused(stack.stub.ReadTable(read, metadata=admin, timeout=30)),
        refused(stack.tenants.stub.Onboard(onboarding(), metadata=admin, timeout=60)),
    )
    assert all(map(is_away, refusals))
    assert await stack.stub.GetRun(get, metadata=admin, timeout=10) == run, "the engine has it"
    assert len((await listed(admin)).templates) > 0

    come_back(own_server)
    assert await until(listed, ANSWERED, seconds=10) <= {AWAY}
    assert (await stack.run(tenant_id, key)).status == run_pb2.Run.COMPLETE


@pytest.mark.parametrize(
    ("go", "come_back"), [(LocalServer.kill, LocalServer.start), (LocalServer.hang, LocalServer.go_on)]
)
async def test_without_the_warehouse_no_key_is_called_bad_or_trusted_beyond_the_bound(
    own_server: LocalServer, tmp_path: Path, go: Callable[[LocalServer], None], come_back: Callable[[LocalServer], None]
) -> None:
    """Seen by calls whose fields are wrong: they are told so before the warehouse is asked, once their key is known."""
    warehouse = own_server.connect()
    async with tenant_stack(tmp_path, warehouse, auth_bound_seconds=BOUND_SECONDS, auth_wait_seconds=0.5) as tenants:
        onboarded = await tenants.stub.Onboard(onboarding(), metadata=tenants.as_admin, timeout=60)
        good, guess = onboarded.api_key, mint(onboarded.tenant_id).reveal()

        def read(key: str) -> Any:
            return tenants.stub.GetTenant(tenants_pb2.GetTenantRequest(), metadata=as_key(key), timeout=10)

        def list_keys(key: str) -> Any:
            return tenants.stub.ListKeys(api_key_pb2.ListKeysRequest(), metadata=as_key(key), timeout=10)

        assert await until(lambda: read(good), LET_IN, seconds=5) == set()
        assert await until(lambda: list_keys(good), LET_IN, seconds=5) == set()
        go(own_server)
        assert await until(lambda: list_keys(good), AWAY, seconds=5) == set(), "an admin scope is looked up once more"
        assert await until(lambda: read(good), AWAY, seconds=BOUND_SECONDS + 5) <= {LET_IN}
        for key in (good, guess, mint("nobody_at_all").reveal()):
            assert all(map(is_away, [await refused(read(key)), await refused(list_keys(key))]))
        assert await until(lambda: read(tenants.as_admin[0][1]), LET_IN, seconds=5) == set(), "it lies in the settings"

        come_back(own_server)
        assert await until(lambda: read(good), LET_IN, seconds=10) <= {AWAY}
        assert await until(lambda: list_keys(good), LET_IN, seconds=10) <= {AWAY}
        assert await until(lambda: read(guess), ("UNAUTHENTICATED", "API_KEY_INVALID"), seconds=10) <= {AWAY}
    await warehouse.close()
