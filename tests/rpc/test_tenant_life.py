"""Suspending and resuming tenants, listing them, and cancelling their runs, on both warehouses."""

import uuid

import pytest

from common.warehouse.warehouse import TableRef
from convergence.pipeline.v1 import run_pb2
from convergence.tenant.v1 import tenant_pb2
from convergence.tenant.v1 import tenant_service_pb2 as tenants_pb2
from tests.rpc.life_calls import LifeCalls
from tests.rpc.statuses import outcome_of, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SUSPENDED = ("FAILED_PRECONDITION", "TENANT_SUSPENDED")
NOT_READY = ("FAILED_PRECONDITION", "TENANT_NOT_READY")
NOT_FOUND = ("NOT_FOUND", "TENANT_NOT_FOUND")
IN_USE = ("FAILED_PRECONDITION", "TENANT_IN_USE")


async def test_a_suspended_tenant_runs_nothing_new_until_it_is_resumed_and_its_key_goes_on(life: LifeCalls) -> None:
    tenant_id, key = await life.stack.onboard()
    before = await life.get(tenant_id)
    suspended = await life.suspend(tenant_id)
    assert suspended.state == tenant_pb2.Tenant.SUSPENDED
    await until(lambda: life.stack.start(tenant_id, key, "nothing"), SUSPENDED, seconds=5)
    assert await life.get(tenant_id, key) == suspended, "its key is accepted and reads are allowed"
    assert await life.suspend(tenant_id) == suspended, "suspending it again changes nothing"
    assert await life.resume(tenant_id) == before
    assert await life.resume(tenant_id) == before
    run = await life.stack.run(tenant_id, key)
    assert run.status == run_pb2.Run.COMPLETE, "at once"


async def test_a_repeated_request_id_does_not_undo_what_was_done_since(life: LifeCalls) -> None:
    tenant_id, _ = await life.stack.onboard(export=False)
    request_id = str(uuid.uuid4())
    await life.suspend(tenant_id, request_id=request_id)
    await life.resume(tenant_id)
    repeated = await life.suspend(tenant_id, request_id=request_id)
    assert repeated.state == tenant_pb2.Tenant.READY
    assert await outcome_of(life.resume(tenant_id, request_id=request_id)) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")


@pytest.mark.parametrize(
    ("state", "expected"),
    [("creating", NOT_READY), ("deleting", NOT_FOUND), ("deleted", NOT_FOUND), (None, NOT_FOUND)],
)
async def test_only_a_tenant_that_is_in_use_or_suspended_can_be_either(
    life: LifeCalls, state: str | None, expected: tuple[str, str]
) -> None:
    tenant_id = f"t_{uuid.uuid4().hex[:16]}"
    if state is not None:
        tenant_id, _ = await life.stack.onboard(export=False)
        await life.set_state(tenant_id, state)
    assert await outcome_of(life.suspend(tenant_id)) == expected
    assert await outcome_of(life.resume(tenant_id)) == expected


async def test_what_is_done_to_a_tenants_state_is_recorded(life: LifeCalls) -> None:
    tenant_id, _ = await life.stack.onboard(export=False)
    await life.suspend(tenant_id)
    await life.resume(tenant_id)
    assert (await life.audit_rows(tenant_id))[-4:] == [
        ("SuspendTenant", "ATTEMPT", None),
        ("SuspendTenant", "OUTCOME", "OK"),
        ("ResumeTenant", "ATTEMPT", None),
        ("ResumeTenant", "OUTCOME", "OK"),
    ]


async def test_tenants_are_listed_page_by_page_in_whatever_state(life: LifeCalls) -> None:
    states = ("creating", "ready", "suspended", "deleting", "deleted")
    wanted = {}
    for state in states:
        tenant_id, _ = await life.stack.onboard(export=False)
        await life.set_state(tenant_id, state)
        wanted[tenant_id] = state.upper()
    version = (await life.get(tenant_id)).schema_version
    listed: list[tenant_pb2.Tenant] = []
    request = tenants_pb2.ListTenantsRequest(page_size=2)
    while True:
        page = await life.stack.tenants.stub.ListTenants(request, metadata=life.admin, timeout=20)
        listed += page.tenants
        if not page.next_page_token:
            break
        assert len(page.tenants) == 2
        request.page_token = page.next_page_token
    ids = [tenant.tenant_id for tenant in listed]
    assert ids == sorted(set(ids)), "each once, in order"
    found = {tenant.tenant_id: tenant for tenant in listed if tenant.tenant_id in wanted}
    assert {name: tenant_pb2.Tenant.State.Name(tenant.state) for name, tenant in found.items()} == wanted
    for name, tenant in found.items():
        assert tenant == tenant_pb2.Tenant(tenant_id=name, state=tenant.state, schema_version=version)


# The stub of BigQuery writes nothing beside a slow statement.
@pytest.mark.parametrize("kind", ["local"], indirect=True)
async def test_a_suspended_tenants_runs_are_cancelled_recorded_and_awaited(life: LifeCalls) -> None:
    tenant_id, key = await life.stack.onboard(export=False)
    runs = [await life.start_slow(tenant_id, key, note) for note in ("a", "b")]
    assert await outcome_of(life.cancel_runs(tenant_id)) == IN_USE
    await life.suspend(tenant_id)
    assert (await life.cancel_runs(tenant_id)).cancelled_count == 2
    for run_id in runs:
        run = await life.run_of(tenant_id, run_id)
        assert (run.status, run.steps[0].status) == (run_pb2.Run.CANCELLED, run_pb2.Step.CANCELLED)
    rows = await life.stack.warehouse.list_rows(TableRef(tenant_id, "pipeline_runs"))
    assert {row["pipeline_logging_id"]: row["status"] for row in rows} == dict.fromkeys(runs, "CANCELLED")
    assert not [name for name in await life.tables(tenant_id) if name.startswith(("slow", "_stage_"))]


async def test_cancelling_runs_where_there_are_none_is_safe_to_repeat(life: LifeCalls) -> None:
    tenant_id, key = await life.stack.onboard()
    run = await life.stack.run(tenant_id, key)
    await life.suspend(tenant_id)
    assert (await life.cancel_runs(tenant_id)).cancelled_count == 0
    assert (await life.cancel_runs(tenant_id)).cancelled_count == 0
    assert (await life.run_of(tenant_id, run.pipeline_logging_id)).status == run_pb2.Run.COMPLETE


@pytest.mark.parametrize(("state", "expected"), [("creating", NOT_READY), (None, NOT_FOUND)])
async def test_runs_of_no_tenant_are_not_cancelled(
    life: LifeCalls, state: str | None, expected: tuple[str, str]
) -> None:
    tenant_id = f"t_{uuid.uuid4().hex[:16]}"
    if state is not None:
        tenant_id, _ = await life.stack.onboard(export=False)
        await life.set_state(tenant_id, state)
    assert await outcome_of(life.cancel_runs(tenant_id)) == expected
