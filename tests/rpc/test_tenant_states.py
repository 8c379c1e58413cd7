"""What each state of a tenant allows, on the services and on runs that are under way, within the published bound."""

from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any, cast

import pytest

from common.warehouse.warehouse import Warehouse
from convergence.errors.v1 import error_reason_pb2
from convergence.pipeline.v1 import pipeline_service_pb2 as pb2
from convergence.pipeline.v1 import run_pb2
from convergence.tenant.v1 import tenant_pb2
from convergence.tenant.v1 import tenant_service_pb2 as tenants_pb2
from tests.rpc.held_warehouse import HeldWarehouse
from tests.rpc.life_calls import LifeCalls
from tests.rpc.pipeline_stack import PipelineStack, pipeline_stack
from tests.rpc.statuses import ANSWERED, refused, until
from tests.rpc.tenant_stack import tenant_stack
from tests.warehouses import LocalServer

BOUND_SECONDS = 1.0
SLACK_SECONDS = 2.0
SUSPENDED = ("FAILED_PRECONDITION", "TENANT_SUSPENDED")
NOT_READY = ("FAILED_PRECONDITION", "TENANT_NOT_READY")
NOT_FOUND = ("NOT_FOUND", "TENANT_NOT_FOUND")
NO_KEY = ("UNAUTHENTICATED", "API_KEY_INVALID")


@pytest.fixture
async def held(local_server: LocalServer) -> AsyncIterator[HeldWarehouse]:
    warehouse = local_server.connect()
    yield HeldWarehouse(warehouse)
    await warehouse.close()


@pytest.fixture
async def stack(held: HeldWarehouse, temporal_address: str, tmp_path: Path) -> AsyncIterator[PipelineStack]:
    warehouse = cast("Warehouse", held)
    async with (
        tenant_stack(tmp_path, warehouse) as tenants,
        pipeline_stack(tmp_path, warehouse, tenants, temporal_address, auth_bound_seconds=BOUND_SECONDS) as running,
    ):
        yield running
        held.release()


async def set_state(stack: PipelineStack, tenant_id: str, state: str) -> None:
    """Suspend or resume the tenant; into the other states, which no call of an admin's leads to alone, by hand."""
    life = LifeCalls(stack)
    match await life.state(tenant_id), state:
        case "READY", "suspended":
            await life.suspend(tenant_id)
        case "SUSPENDED", "ready":
            await life.resume(tenant_id)
        case _:
            await life.set_state(tenant_id, state)


def run_of_nothing(stack: PipelineStack, tenant_id: str, key: Any) -> Awaitable[object]:
    """Runs a template that does not exist, so that nothing starts even where the tenant may run."""
    return stack.start(tenant_id, key, "nothing")


async def until_it_holds(stack: PipelineStack, tenant_id: str, key: Any, expected: tuple[str, str]) -> None:
    """Wait until a run is refused like this, within the bound."""
    await until(lambda: run_of_nothing(stack, tenant_id, key), expected, seconds=BOUND_SECONDS + SLACK_SECONDS)


@pytest.mark.parametrize(
    ("state", "for_its_key", "for_an_admin", "shown"),
    [
        ("suspended", SUSPENDED, SUSPENDED, tenant_pb2.Tenant.SUSPENDED),
        ("deleted", NO_KEY, NOT_FOUND, tenant_pb2.Tenant.DELETED),
        ("creating", NO_KEY, NOT_READY, tenant_pb2.Tenant.CREATING),
    ],
)
async def test_a_state_is_honoured_within_the_bound_and_ends_at_once(
    stack: PipelineStack, state: str, for_its_key: tuple[str, str], for_an_admin: tuple[str, str], shown: int
) -> None:
    tenant_id, key = await stack.onboard()
    run = await stack.run(tenant_id, key)
    read = pb2.GetRunRequest(pipeline_logging_id=run.pipeline_logging_id)
    admin = stack.tenants.as_admin
    await set_state(stack, tenant_id, state)

    await until_it_holds(stack, tenant_id, key, for_its_key)
    by_admin = await refused(run_of_nothing(stack, tenant_id, admin))
    assert (by_admin.code, by_admin.reason) == for_an_admin
    if for_its_key == NO_KEY:
        assert (await refused(stack.stub.GetRun(read, metadata=key, timeout=10))).code == "UNAUTHENTICATED"
    else:
        assert await stack.stub.GetRun(read, metadata=key, timeout=10) == run, "reads are allowed"
        assert len(await stack.rows(tenant_id, key)) == 2
    got = await stack.tenants.stub.GetTenant(
        tenants_pb2.GetTenantRequest(tenant_id=tenant_id), metadata=admin, timeout=10
    )
    assert got.state == shown

    if state != "creating":
        onboard = tenants_pb2.OnboardRequest(tenant_id=tenant_id)
        anew = await refused(stack.tenants.stub.Onboard(onboard, metadata=admin, timeout=10))
        assert (anew.code, anew.reason) == ("ALREADY_EXISTS", "TENANT_EXISTS")

    await set_state(stack, tenant_id, "ready")
    ready = await refused(run_of_nothing(stack, tenant_id, key))
    assert ready.reason == "TEMPLATE_NOT_FOUND", "ready again, at once"


async def test_a_run_under_way_outlasts_its_tenants_suspension(stack: PipelineStack, held: HeldWarehouse) -> None:
    tenant_id, key = await stack.onboard()
    held.hold()
    started = await stack.start(tenant_id, key)
    await held.waiting.wait()
    await set_state(stack, tenant_id, "suspended")
    await until_it_holds(stack, tenant_id, key, SUSPENDED)
    held.release()
    run = await stack.end_of(key, started.pipeline_logging_id)
    assert run.status == run_pb2.Run.COMPLETE, run


async def test_a_run_under_way_ends_visibly_when_its_tenant_is_deleted(
    stack: PipelineStack, held: HeldWarehouse
) -> None:
    tenant_id, key = await stack.onboard()
    held.hold()
    started = await stack.start(tenant_id, key)
    await held.waiting.wait()
    await set_state(stack, tenant_id, "deleted")
    await until_it_holds(stack, tenant_id, key, NO_KEY)
    held.release()
    watch = pb2.WatchRunRequest(pipeline_logging_id=started.pipeline_logging_id, tenant_id=tenant_id)
    run = [run async for run in stack.stub.WatchRun(watch, metadata=stack.tenants.as_admin, timeout=60)][-1]
    assert (run.status, run.error.reason) == (run_pb2.Run.FAILED, error_reason_pb2.TENANT_NOT_FOUND)
    assert run.error.step_id == "verify"


async def test_a_run_under_way_reads_no_source_that_was_taken_back(stack: PipelineStack, held: HeldWarehouse) -> None:
    tenant_id, key = await stack.onboard()
    held.hold()
    started = await stack.start(tenant_id, key)
    await held.waiting.wait()
    request = tenants_pb2.SetSourcesRequest(tenant_id=tenant_id)
    await stack.tenants.stub.SetSources(request, metadata=stack.tenants.as_admin, timeout=10)
    taken_back = ("FAILED_PRECONDITION", "SOURCE_NOT_GRANTED")  # until then the call joins the run
    seen = await until(lambda: stack.start(tenant_id, key), taken_back, seconds=BOUND_SECONDS + SLACK_SECONDS)
    assert seen <= {ANSWERED}
    held.release()
    run = await stack.end_of(key, started.pipeline_logging_id)
    assert (run.status, run.error.reason) == (run_pb2.Run.FAILED, error_reason_pb2.TABLE_NOT_ALLOWED)
    assert run.error.step_id == "verify"
