"""The list of what was done to a tenant: one record for each act, the latest first, page by page. On both warehouses."""

import base64
import json
import uuid
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from common.audit import AUDIT_TABLE
from common.digest import short_digest
from common.errors import InvalidInput, KeyNotFound, TenantMismatch, TenantNotFound, TenantNotReady
from common.paging import Page
from common.rpc.caller import Caller
from common.tenants.tenant import State, tenant_labels
from common.warehouse.effects import Effects
from common.warehouse.statements import insert_statement
from common.warehouse.warehouse import RowStream, TableRef, Warehouse
from tenant_service.acts import Turn
from tenant_service.list_audit_records import AuditRecord, ListAuditRecords
from tests.passing_on import PassingOn
from tests.unit.tenant_service.acts_world import ADMIN, SPEC, World, new_tenant, noting, request_id, schema_over

V1_COLUMNS = tuple(column for column in SPEC.columns if column.name not in ("request_digest", "body_digest"))


class Counting(PassingOn):
    """A warehouse that counts what is read of it."""

    def __init__(self, warehouse: Warehouse) -> None:
        super().__init__(warehouse)
        self.reads: list[str] = []

    async def read(self, statement: Any, **options: Any) -> RowStream:
        self.reads.append(statement.sql)
        return await self.warehouse.read(statement, **options)


async def listed(world: World, caller: Caller = ADMIN, **fields: Any) -> Page[AuditRecord]:
    fields = {"start_time": None, "end_time": None, "page_size": 0, "page_token": "", **fields}
    fields.setdefault("tenant_id", world.tenant_id)
    warehouse = fields.pop("warehouse", world.warehouse)
    return await ListAuditRecords(warehouse, schema_over(warehouse))(caller, **fields)


async def acted(world: World, *resources: str, seconds: float = 1) -> None:
    """One act on each of these resources, one after the other."""
    for resource in resources:
        await world.acts().do(ADMIN, world.act(resource=resource), noting([]))
        await world.clock.advance(seconds)


def resources(page: Page[AuditRecord]) -> list[str]:
    return [record.resource for record in page.items]


def wire(moment: datetime) -> tuple[int, int]:
    return int(moment.timestamp()), moment.microsecond * 1000


async def violations(world: World, **fields: Any) -> list[str]:
    with pytest.raises(InvalidInput) as refused:
        await listed(world, **fields)
    return [violation.field for violation in refused.value.violations]


async def test_each_act_is_one_record_with_its_outcome_the_latest_first(world: World) -> None:
    begun = world.clock.now()

    async def fail(turn: Turn) -> str:
        await world.clock.advance(5)
        raise KeyNotFound

    with pytest.raises(KeyNotFound):
        await world.acts().do(ADMIN, world.act(resource="key_1", request_id=request_id()), fail)
    caller = Caller("key_9", world.tenant_id)
    await world.acts().do(caller, world.act(method="RotateKey"), noting([]))

    later, earlier = (await listed(world)).items
    assert earlier == AuditRecord(
        audit_id=earlier.audit_id,
        tenant_id=world.tenant_id,
        method="/convergence.tenant.v1.TenantService/CreateKey",
        principal=ADMIN.principal,
        resource="key_1",
        attempt_time=begun,
        outcome_time=begun + timedelta(seconds=5),
        outcome="NOT_FOUND",
        reason="KEY_NOT_FOUND",
        correlation_id="",
    )
    assert (later.method, later.principal, later.resource, later.outcome, later.reason) == (
        *("/convergence.tenant.v1.TenantService/RotateKey", "key_9", "", "OK", ""),
    )


async def test_an_act_without_outcome_says_so_and_of_several_outcomes_the_latest_counts(world: World) -> None:
    attempt = {"audit_id": "a", "tenant_id": world.tenant_id, "phase": "ATTEMPT", "method": "m", "principal": "p"}
    rows = [{**attempt, "create_time": world.clock.now(), "outcome": None}]

    async def insert() -> None:
        statement = insert_statement(TableRef(world.tenant_id, AUDIT_TABLE), SPEC, rows)
        await Effects(world.warehouse, world.clock).run(uuid.uuid4().hex, statement)

    await insert()
    (record,) = (await listed(world)).items
    assert (record.outcome_time, record.outcome) == (None, "")
    later = world.clock.now() + timedelta(days=2)
    rows = [
        {**attempt, "phase": "OUTCOME", "create_time": later, "outcome": "OK"},
        {**attempt, "phase": "OUTCOME", "create_time": world.clock.now(), "outcome": "UNAVAILABLE"},
    ]
    await insert()
    (record,) = (await listed(world)).items
    assert (record.outcome_time, record.outcome) == (later, "OK")


async def test_start_is_inclusive_and_end_exclusive_and_an_act_counts_from_its_beginning(world: World) -> None:
    begun = world.clock.now()
    await acted(world, "a", "b", "c", seconds=24 * 3600)
    second, third = (wire(begun + timedelta(days=days)) for days in (1, 2))
    assert resources(await listed(world, start_time=second, end_time=third)) == ["b"]
    assert resources(await listed(world, start_time=second)) == ["c", "b"]
    assert resources(await listed(world, end_time=second)) == ["a"]

    async def slow(turn: Turn) -> str:
        await world.clock.advance(2 * 24 * 3600)
        return "done"

    fourth = world.clock.now()
    await world.acts().do(ADMIN, world.act(resource="slow"), slow)
    (record,) = (await listed(world, start_time=wire(fourth), end_time=wire(fourth + timedelta(days=1)))).items
    assert record.outcome == "OK", "although it ended later than the time asked for"


@pytest.mark.parametrize("seconds", [1, 0], ids=["one after the other", "at one time"])
async def test_pages_give_each_record_once_by_one_select_each_whatever_comes_meanwhile(
    world: World, seconds: float
) -> None:
    await acted(world, *"abcdefg", seconds=seconds)
    whole = (await listed(world)).items
    counting: Any = Counting(world.warehouse)
    pages: list[list[AuditRecord]] = []
    token = ""
    while not pages or token:
        page = await listed(world, warehouse=counting, page_size=3, page_token=token)
        token = page.next_page_token
        pages.append(list(page.items))
        await world.clock.advance(1)
        await acted(world, "later")
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [record for page in pages for record in page] == list(whole)
    assert len(counting.reads) == 3


async def test_a_page_token_is_good_for_one_tenant_and_one_span_of_time(world: World) -> None:
    await acted(world, *"abc")
    other = await new_tenant(world.warehouse)
    token = (await listed(world, page_size=1)).next_page_token
    assert resources(await listed(world, page_size=2, page_token=token)) == ["b", "a"], "of any size"
    for fields in ({"tenant_id": other}, {"start_time": (0, 0)}, {"end_time": (2_000_000_000, 0)}):
        assert await violations(world, page_token=token, **fields) == ["page_token"]


@pytest.mark.parametrize("time", ["yesterday", "2025-11-15T12:00:00", "2025-11-15T12:00:00+05:00", "0001-01-01", ""])
async def test_a_forged_page_token_is_refused(world: World, time: str) -> None:
    bound = short_digest(["audit_records", world.tenant_id, None, None])
    token = base64.urlsafe_b64encode(json.dumps([bound, time, "a' OR TRUE --"]).encode()).decode()
    assert await violations(world, page_token=token) == ["page_token"]


async def test_every_malformed_field_is_named_at_once(world: World) -> None:
    fields = {"tenant_id": "AB", "start_time": (10**14, 0), "end_time": (0, -1), "page_size": -1, "page_token": "x"}
    assert await violations(world, **fields) == list(fields)
    for times in (((0, 0), (0, 0)), ((1, 0), (0, 0)), ((0, 2000), (0, 1000))):
        assert await violations(world, start_time=times[0], end_time=times[1]) == ["end_time"]


async def test_a_suspended_tenants_records_are_listed(world: World) -> None:
    world = replace(world, tenant_id=await new_tenant(world.warehouse, "suspended"))
    await acted(world, "a")
    assert resources(await listed(world, Caller("key_1", world.tenant_id))) == ["a"]


async def test_records_of_a_tenant_of_the_first_schema_are_listed(world: World) -> None:
    world = replace(world, tenant_id=f"t_{uuid.uuid4().hex[:16]}")
    labels = tenant_labels("ready", claim="c", request="r", body="b")
    table = TableRef(world.tenant_id, AUDIT_TABLE)
    await world.warehouse.create_dataset(world.tenant_id, location="US", labels=labels)
    await world.warehouse.create_table(table, replace(SPEC, columns=V1_COLUMNS))
    row: dict[str, Any] = {
        "audit_id": "a",
        "tenant_id": world.tenant_id,
        "create_time": world.clock.now(),
        "phase": "ATTEMPT",
    }
    statement = insert_statement(table, SPEC, [{**row, "method": "m", "principal": "p", "resource": "old"}])
    await Effects(world.warehouse, world.clock).run(uuid.uuid4().hex, statement)
    assert resources(await listed(world)) == ["old"]


@pytest.mark.parametrize(("state", "error"), [("creating", TenantNotReady), ("deleted", TenantNotFound)])
async def test_a_tenant_that_is_not_in_use_has_no_list(world: World, state: State, error: type[Exception]) -> None:
    tenant_id = await new_tenant(world.warehouse, state)
    with pytest.raises(error):
        await listed(world, tenant_id=tenant_id)


async def test_another_tenants_records_are_refused_whether_or_not_it_exists(world: World) -> None:
    for tenant_id in (world.tenant_id, "nobody_at_all"):
        with pytest.raises(TenantMismatch):
            await listed(world, Caller("key_1", "another_tenant", frozenset({"keys:admin"})), tenant_id=tenant_id)
