"""What docs/statuses.md says of every method: that it refuses over a rate, on a full server, and while what it needs is away. Each is made
to, over a real connection."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio

from common.warehouse.warehouse import Warehouse
from pipeline_service.bootstrap import WATCHES
from tests.rpc.held_warehouse import HeldWarehouse
from tests.rpc.pipeline_stack import pipeline_stack
from tests.rpc.statuses import Outcome, outcome_of, refused
from tests.rpc.system import ADMIN_METHODS, METHODS, Services, Tenant
from tests.rpc.tenant_stack import tenant_stack
from tests.waiting import until
from tests.warehouses import LocalServer

pytestmark = pytest.mark.asyncio(loop_scope="session")

LIMITED, OVERLOADED = ("RESOURCE_EXHAUSTED", "RATE_LIMITED"), ("RESOURCE_EXHAUSTED", "OVERLOADED")
AWAY = ("UNAVAILABLE", "DEPENDENCY_UNAVAILABLE")
EVERY_METHOD = pytest.mark.parametrize("method", METHODS)
HOLDING_SECONDS = 60.0


class StuckWarehouse(HeldWarehouse):
    """Once stuck, answers neither what a tenant is nor what a query would cost."""

    def __init__(self, warehouse: Warehouse) -> None:
        super().__init__(warehouse)
        self.stuck = False
        self.waiting_calls = 0

    async def get_dataset(self, dataset_id: str) -> Any:
        await self._pass()
        return await self.warehouse.get_dataset(dataset_id)

    async def estimate(self, *arguments: Any, **named: Any) -> Any:
        await self._pass()
        return await self.warehouse.estimate(*arguments, **named)

    async def _pass(self) -> None:
        if self.stuck:
            self.waiting_calls += 1
            await asyncio.Event().wait()


class Refusing(Services):
    """Both services, all of whose methods refuse. `ours` is a tenant."""

    def __init__(self, services: Services, ours: Tenant) -> None:
        super().__init__(services.tenants, services.pipelines)
        self.ours = ours

    def asked(self, method: str) -> Any:
        """The method, called by somebody who may call it."""
        fields = METHODS[method].input_type.fields_by_name
        named: dict[str, Any] = {"tenant_id": self.ours.tenant_id} if "tenant_id" in fields else {}
        if method == "RunPipeline":
            named = {"pipeline_id": f"{self.ours.tenant_id}-gcp-test-daily"}
        if method == "Onboard":
            named = {"tenant_id": f"t_{uuid.uuid4().hex[:12]}"}
        return self.call(method, self.admin if method in ADMIN_METHODS else self.ours.key, **named)


@asynccontextmanager
async def services_with(
    folder: Path, warehouse: Warehouse, temporal_address: str, **limits: Any
) -> AsyncIterator[Services]:
    """Both services under these limits. Tenants are onboarded by a TenantService without any: its own would be used up by that."""
    async with (
        tenant_stack(folder, warehouse) as onboarding,
        tenant_stack(folder, warehouse, kms_address="127.0.0.1:1", **limits) as tenants,
        pipeline_stack(folder, warehouse, onboarding, temporal_address, **limits) as pipelines,
    ):
        yield Services(tenants, pipelines)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def limited(
    local_server: LocalServer, temporal_address: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Refusing]:
    """The admin and the tenant have made the one call that they may."""
    warehouse = local_server.connect()
    limits = {"calls_per_second_per_key": 0.001, "call_burst_per_key": 1}
    async with services_with(tmp_path_factory.mktemp("limited"), warehouse, temporal_address, **limits) as services:
        world = Refusing(services, Tenant(*await services.pipelines.onboard()))
        for method in ("ListTenants", "GetTenant", "CancelRuns", "GetTemplate"):
            assert await outcome_of(world.asked(method)) != LIMITED
        yield world
    await warehouse.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def full(
    local_server: LocalServer, temporal_address: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Refusing]:
    """Every place of both services is taken."""
    opened = local_server.connect()
    stuck = StuckWarehouse(opened)
    warehouse = cast("Warehouse", stuck)
    limits = {"max_concurrent_calls": 1, "max_concurrent_watches": 1}
    async with services_with(tmp_path_factory.mktemp("full"), warehouse, temporal_address, **limits) as services:
        ours = Tenant(*await services.pipelines.onboard())
        stuck.hold()
        run = await services.pipelines.start(ours.tenant_id, ours.key)
        watch = services.call("WatchRun", ours.key, pipeline_logging_id=run.pipeline_logging_id)
        await watch.read()
        await outcome_of(services.call("GetTenant", ours.key, tenant_id=ours.tenant_id))  # its key is known from now on
        stuck.stuck = True
        held = [
            asyncio.create_task(
                outcome_of(services.call_for(HOLDING_SECONDS, method, services.admin, {"tenant_id": ours.tenant_id}))
            )
            for method in ("GetTenant", "PlanTemplate")
        ]
        await until(lambda: stuck.waiting_calls == len(held), seconds=30)
        yield Refusing(services, ours)
        assert not any(call.done() for call in held)
        watch.cancel()
        for call in held:
            call.cancel()
        await asyncio.gather(*held, return_exceptions=True)
        stuck.stuck = False
        stuck.release()
        await services.pipelines.end_of(ours.key, run.pipeline_logging_id)
    await opened.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def away(temporal_address: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Refusing]:
    """The warehouse is gone, and neither service has heard of the tenant's key before."""
    folder = tmp_path_factory.mktemp("away")
    (folder / "warehouse").mkdir()
    server = LocalServer(folder / "warehouse")
    server.start()
    warehouse = server.connect()
    try:
        async with services_with(folder, warehouse, temporal_address, auth_wait_seconds=0.5) as services:
            world = Refusing(services, Tenant(*await services.pipelines.onboard()))
            server.kill()
            yield world
    finally:
        server.stop()
        await warehouse.close()


async def refuses_and_says_when(world: Refusing, method: str, expected: Outcome) -> None:
    refusal = await refused(world.asked(method))
    assert (refusal.code, refusal.reason) == expected
    assert refusal.retry


@EVERY_METHOD
async def test_a_key_over_its_rate_is_refused_by_every_method(limited: Refusing, method: str) -> None:
    await refuses_and_says_when(limited, method, LIMITED)


@EVERY_METHOD
async def test_every_method_of_a_full_server_refuses(full: Refusing, method: str) -> None:
    await refuses_and_says_when(full, method, OVERLOADED)


@EVERY_METHOD
async def test_every_method_is_unavailable_while_the_warehouse_is_away(away: Refusing, method: str) -> None:
    """An admin's by what it needs of it; a tenant's at the latest by the look-up of its key."""
    await refuses_and_says_when(away, method, AWAY)


async def test_these_are_the_watches() -> None:
    assert {method.rpartition("/")[2] for method in WATCHES} == {"WatchRun"}
