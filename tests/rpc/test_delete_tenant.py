"""Deleting tenants: keys refused, runs ended, the dataset emptied, the name gone for good."""

import asyncio
import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
import structlog

from common.api_keys.hashing import digest_of
from common.api_keys.key import mint_admin
from common.errors import Transient
from common.secret import Secret
from common.warehouse.warehouse import TableRef, Warehouse
from convergence.pipeline.v1 import run_pb2
from convergence.tenant.v1 import tenant_pb2
from tenant_service.delete_tenant import RunCanceller
from tenant_service.pipeline_client import PipelineClient
from tests.rpc.life_calls import LifeCalls
from tests.rpc.pipeline_stack import pipeline_stack
from tests.rpc.statuses import outcome_of, refused, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

NO_KEY = ("UNAUTHENTICATED", "API_KEY_INVALID")
NOT_FOUND = ("NOT_FOUND", "TENANT_NOT_FOUND")
EXISTS = ("ALREADY_EXISTS", "TENANT_EXISTS")
AWAY = ("UNAVAILABLE", "DEPENDENCY_UNAVAILABLE")


@dataclass
class Noting:
    """PipelineService, and what is recorded of the tenant's runs when it says that they have ended."""

    canceller: RunCanceller
    warehouse: Warehouse
    recorded: set[tuple[object, object]] = field(default_factory=set)

    async def cancel_runs(self, admin_key: Secret, tenant_id: str) -> None:
        await self.canceller.cancel_runs(admin_key, tenant_id)
        rows = await self.warehouse.list_rows(TableRef(tenant_id, "pipeline_runs"))
        self.recorded = {(row["pipeline_logging_id"], row["status"]) for row in rows}


async def test_a_deleted_tenant_leaves_an_empty_dataset_and_nothing_that_works(life: LifeCalls) -> None:
    (tenant_id, key), (neighbour, neighbours_key) = [await life.stack.onboard() for _ in range(2)]
    request_id = str(uuid.uuid4())
    for owner, owners_key in ((tenant_id, key), (neighbour, neighbours_key)):
        assert (await life.stack.run(owner, owners_key)).status == run_pb2.Run.COMPLETE
    theirs = (await life.get(neighbour), await life.tables(neighbour), await life.audit_rows(neighbour))

    deleted = await life.delete(tenant_id, request_id=request_id)
    assert (deleted.tenant_id, deleted.state) == (tenant_id, tenant_pb2.Tenant.DELETED)
    assert await life.tables(tenant_id) == set()
    assert await life.get(tenant_id) == deleted
    assert await outcome_of(life.get(tenant_id, key)) == NO_KEY
    await until(lambda: life.stack.start(tenant_id, key), NO_KEY, seconds=5)
    assert await outcome_of(life.stack.start(tenant_id, life.admin)) == NOT_FOUND
    for call in (life.suspend(tenant_id), life.resume(tenant_id)):
        assert await outcome_of(call) == NOT_FOUND
    for fields in ({}, {"request_id": request_id}):
        assert await outcome_of(life.onboard(tenant_id, **fields)) == EXISTS, "a name is given once"
        assert await life.delete(tenant_id, **fields) == deleted, "deleting it again changes nothing"
    assert (await life.get(neighbour), await life.tables(neighbour), await life.audit_rows(neighbour)) == theirs
    assert len(await life.stack.rows(neighbour, neighbours_key)) == 2


@pytest.mark.parametrize(
    "kind", ["local"], indirect=True
)  # the stub of BigQuery writes nothing beside a slow statement
async def test_the_runs_of_a_tenant_that_is_deleted_end_before_its_tables_do(
    life: LifeCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant_id, key = await life.stack.onboard(export=False)
    runs = [await life.start_slow(tenant_id, key, note) for note in ("a", "b")]
    runner = life.stack.tenants.runner
    assert runner.canceller is not None
    noting = Noting(runner.canceller, life.stack.warehouse)
    monkeypatch.setattr(runner, "canceller", noting)
    assert (await life.delete(tenant_id)).state == tenant_pb2.Tenant.DELETED
    assert noting.recorded == {(run_id, "CANCELLED") for run_id in runs}
    for run_id in runs:
        assert (await life.run_of(tenant_id, run_id)).status == run_pb2.Run.CANCELLED
    assert await life.tables(tenant_id) == set()


@pytest.mark.parametrize("confirmation", ["", "yes", "T_OTHER"])
async def test_a_deletion_that_is_not_confirmed_changes_nothing(life: LifeCalls, confirmation: str) -> None:
    tenant_id, key = await life.stack.onboard(export=False)
    before = (await life.get(tenant_id), await life.audit_rows(tenant_id))
    refusal = await refused(life.delete(tenant_id, confirmation=confirmation))
    assert (refusal.code, refusal.fields) == ("INVALID_ARGUMENT", ("confirmation",))
    assert (await life.get(tenant_id, key), await life.audit_rows(tenant_id)) == before


async def test_an_unknown_tenant_and_a_dataset_of_somebody_else_are_not_deleted(life: LifeCalls) -> None:
    unknown, foreign = (f"t_{uuid.uuid4().hex[:16]}" for _ in range(2))
    before = await life.stack.warehouse.create_dataset(foreign, location="US", labels={"owner": "somebody"})
    for name in (unknown, foreign):
        assert await outcome_of(life.delete(name)) == NOT_FOUND
    assert await life.stack.warehouse.get_dataset(foreign) == before


async def test_without_pipeline_service_a_deletion_waits_and_the_same_call_completes_it(
    life: LifeCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant_id, key = await life.stack.onboard(export=False)
    tables = await life.tables(tenant_id)
    runner, fields = life.stack.tenants.runner, {"request_id": str(uuid.uuid4())}
    await life.get(tenant_id, key)  # its state is known now, for a second
    async with grpc.aio.insecure_channel("127.0.0.1:1") as nowhere:
        with monkeypatch.context() as patched:
            patched.setattr(runner, "canceller", PipelineClient(lambda: nowhere, bound_seconds=1.0))
            refusal = await refused(life.delete(tenant_id, **fields))
    assert (refusal.code, refusal.reason, refusal.retry) == (*AWAY, True)
    assert await outcome_of(life.get(tenant_id, key)) == NO_KEY, (
        "from the first change on, by the replica that answered"
    )
    assert await life.state(tenant_id) == "DELETING"
    assert await life.tables(tenant_id) == tables, "its runs may still write there"
    assert (await life.audit_rows(tenant_id))[-2:] == [
        ("DeleteTenant", "ATTEMPT", None),
        ("DeleteTenant", "OUTCOME", "UNAVAILABLE"),
    ]
    for call in (life.suspend(tenant_id), life.resume(tenant_id)):
        assert await outcome_of(call) == NOT_FOUND
    assert await outcome_of(life.onboard(tenant_id)) == EXISTS

    with structlog.testing.capture_logs() as logs:
        assert (await life.delete(tenant_id, **fields)).state == tenant_pb2.Tenant.DELETED
    assert await life.tables(tenant_id) == set()
    told = [(line["phase"], line["outcome"]) for line in logs if line["event"] == "audit"]
    assert told == [("ATTEMPT", None), ("OUTCOME", "OK")], "the log outlives the tenant"
    assert not [line for line in logs if line["log_level"] == "error"]


async def test_a_request_id_that_stood_for_something_else_deletes_nothing(life: LifeCalls) -> None:
    tenant_id, _ = await life.stack.onboard(export=False)
    fields = {"request_id": str(uuid.uuid4())}
    await life.suspend(tenant_id, **fields)
    assert await outcome_of(life.delete(tenant_id, **fields)) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")
    assert await life.state(tenant_id) == "SUSPENDED"
    assert (await life.delete(tenant_id)).state == tenant_pb2.Tenant.DELETED, "also one that is suspended"


async def test_a_tenant_whose_onboarding_was_cut_off_can_be_deleted(life: LifeCalls) -> None:
    tenant_id, _ = await life.stack.onboard(export=False)
    await life.set_state(tenant_id, "creating")
    await life.stack.warehouse.delete_table(TableRef(tenant_id, "audit_log"))
    assert (await life.delete(tenant_id)).state == tenant_pb2.Tenant.DELETED
    assert await life.tables(tenant_id) == set()
    assert await outcome_of(life.onboard(tenant_id)) == EXISTS


async def test_deletions_of_one_tenant_at_the_same_time_all_succeed(life: LifeCalls) -> None:
    tenant_id, _ = await life.stack.onboard(export=False)
    answers = await asyncio.gather(*(life.delete(tenant_id) for _ in range(3)))
    assert [answer.state for answer in answers] == [tenant_pb2.Tenant.DELETED] * 3
    assert await life.tables(tenant_id) == set()


async def test_a_pipeline_service_that_knows_no_such_admin_is_an_operators_to_mend(
    life: LifeCalls, temporal_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life.stack.tenants.runner, "canceller", None)  # another's, and in the end the shared one again
    tenant_id, key = await life.stack.onboard(export=False)
    others_admin = {"admin_key_hashes": (digest_of(mint_admin()),)}
    async with AsyncExitStack() as stack:
        (tmp_path / "other").mkdir()
        other = pipeline_stack(
            tmp_path / "other", life.stack.warehouse, life.stack.tenants, temporal_address, **others_admin
        )
        await stack.enter_async_context(other)
        assert await outcome_of(life.delete(tenant_id)) == ("FAILED_PRECONDITION", "DEPENDENCY_REFUSED")
    assert await life.state(tenant_id) == "DELETING"
    assert await outcome_of(life.get(tenant_id, key)) == NO_KEY


async def test_a_warehouse_that_lets_no_table_go_leaves_the_tenant_deleting(
    life: LifeCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant_id, _ = await life.stack.onboard(export=False)

    async def away(ref: TableRef) -> None:
        raise Transient("away")

    with monkeypatch.context() as patched:
        patched.setattr(life.stack.warehouse, "delete_table", away)
        assert await outcome_of(life.delete(tenant_id)) == AWAY
    assert await life.state(tenant_id) == "DELETING"
    assert (await life.delete(tenant_id)).state == tenant_pb2.Tenant.DELETED
    assert await life.tables(tenant_id) == set()
