"""When keys were last used, as it comes to stand in `api_keys`. On both warehouses."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from common.api_keys import usage
from common.api_keys.store import KEYS_TABLE
from common.api_keys.usage import KeyUsage
from common.clock import SystemClock
from common.templates.catalog import default_configs_dir
from common.warehouse.effects import Effects
from common.warehouse.schemas import load_table_spec
from common.warehouse.statements import Record, insert_statement
from common.warehouse.warehouse import Job, JobResult, TableRef, Warehouse
from tests.clock import FakeClock
from tests.passing_on import PassingOn
from tests.waiting import until

HOUR = 3600.0
NOON = datetime(2025, 11, 15, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=5)
SPEC = load_table_spec(default_configs_dir() / "metadata" / "schemas" / f"{KEYS_TABLE}.json")
KEYS = ("key_0", "key_1", "key_2")

NewTenant = Callable[[], Awaitable[str]]


class Watched(PassingOn):
    """A warehouse that counts jobs by the tenant in their id, and fails or holds them as it is told to."""

    def __init__(self, warehouse: Warehouse) -> None:
        super().__init__(warehouse)
        self.jobs: list[str] = []
        self.fails = False
        self.hangs = False

    async def submit(self, job: Job) -> None:
        self.jobs.append(job.job_id.partition("_last_used_")[0])
        if self.hangs:
            await asyncio.Event().wait()
        await self.warehouse.submit(job)

    async def wait(self, job_id: str, *, timeout_seconds: float) -> JobResult:
        if self.fails:
            raise RuntimeError("not foreseen")
        return await self.warehouse.wait(job_id, timeout_seconds=timeout_seconds)


@pytest.fixture
def watched(warehouse: Warehouse) -> Any:
    return Watched(warehouse)


@pytest.fixture
def new_tenant(warehouse: Warehouse) -> NewTenant:
    """Makes tenants with three keys that were never used."""

    async def new() -> str:
        tenant_id = f"t_{uuid.uuid4().hex[:16]}"
        await warehouse.create_dataset(tenant_id, location="US", labels={})
        await warehouse.create_table(TableRef(tenant_id, KEYS_TABLE), SPEC)
        row: Record = {"tenant_id": tenant_id, "key_hash": "-", "hash_algorithm": "-", "ciphertext": b"-"}
        rows = [
            {"key_id": key_id, "create_time": NOON, "kms_key_version": "-", "display_prefix": "-", **row}
            for key_id in KEYS
        ]
        statement = insert_statement(TableRef(tenant_id, KEYS_TABLE), SPEC, rows)
        await Effects(warehouse, SystemClock()).run(f"{tenant_id}_rows", statement)
        return tenant_id

    return new


def usage_over(warehouse: Any, clock: FakeClock) -> KeyUsage:
    return KeyUsage(Effects(warehouse, SystemClock()), interval_seconds=HOUR, clock=clock)


@asynccontextmanager
async def flushing(noted: KeyUsage, clock: FakeClock) -> AsyncIterator[None]:
    """As a server that has started: the first interval counts from here."""
    async with noted.flushing():
        await clock.advance(0)
        yield


async def last_used(warehouse: Warehouse, tenant_id: str) -> list[object]:
    rows = await warehouse.list_rows(TableRef(tenant_id, KEYS_TABLE))
    times = {row["key_id"]: row["last_used_time"] for row in rows}
    return [times[key_id] for key_id in KEYS]


async def test_uses_are_written_once_an_hour_with_one_statement_per_tenant(watched: Any, new_tenant: NewTenant) -> None:
    clock, first, second = FakeClock(), await new_tenant(), await new_tenant()
    noted = usage_over(watched, clock)
    async with flushing(noted, clock):
        for minute in range(60):
            noted.note(first, "key_0", NOON + timedelta(minutes=minute))
            noted.note(first, "key_2", NOON)
            noted.note(second, "key_1", NOON)
        await clock.advance(HOUR - 1)
        assert watched.jobs == []
        await clock.advance(1)
        await until(lambda: not noted._times)
    assert sorted(watched.jobs) == sorted([first, second]), "what is written is not written again at the end"
    assert await last_used(watched, first) == [NOON + timedelta(minutes=59), None, NOON]
    assert await last_used(watched, second) == [None, NOON, None]


async def test_a_server_that_ends_writes_what_it_noted(watched: Any, new_tenant: NewTenant) -> None:
    tenant_id = await new_tenant()
    noted = usage_over(watched, FakeClock())
    async with noted.flushing():
        noted.note(tenant_id, "key_1", NOON)
    assert await last_used(watched, tenant_id) == [None, NOON, None]


async def test_a_replica_that_writes_late_moves_no_time_backwards(watched: Any, new_tenant: NewTenant) -> None:
    tenant_id = await new_tenant()
    for times in ((LATER, NOON), (NOON, LATER)):
        noted = usage_over(watched, FakeClock())
        async with noted.flushing():
            for key_id, time in zip(KEYS, times, strict=False):
                noted.note(tenant_id, key_id, time)
    assert await last_used(watched, tenant_id) == [LATER, LATER, None]


async def test_what_could_not_be_written_is_written_the_next_time(watched: Any, new_tenant: NewTenant) -> None:
    clock, tenant_id = FakeClock(), await new_tenant()
    noted = usage_over(watched, clock)
    with capture_logs() as logs:
        async with flushing(noted, clock):
            watched.fails = True
            noted.note(tenant_id, "key_0", NOON)
            noted.note(tenant_id, "key_1", NOON)
            await clock.advance(HOUR)
            await until(lambda: watched.jobs)
            noted.note(tenant_id, "key_1", LATER)
            await until(lambda: logs)
            watched.fails = False
            await clock.advance(0)
            await clock.advance(HOUR)
            await until(lambda: not noted._times)
    assert [(line["log_level"], line["tenants"]) for line in logs] == [("warning", 1)]
    assert await last_used(watched, tenant_id) == [NOON, LATER, None]


async def test_a_tenant_whose_table_is_gone_is_given_up_and_holds_up_no_other(
    watched: Any, new_tenant: NewTenant
) -> None:
    clock, tenant_id = FakeClock(), await new_tenant()
    noted = usage_over(watched, clock)
    async with flushing(noted, clock):
        noted.note("gone_long_ago", "key_0", NOON)
        noted.note(tenant_id, "key_0", NOON)
        await clock.advance(HOUR)
        await until(lambda: not noted._times)
    assert sorted(watched.jobs) == sorted(["gone_long_ago", tenant_id])
    assert await last_used(watched, tenant_id) == [NOON, None, None]


async def test_what_is_noted_takes_no_more_than_so_much_memory(
    watched: Any, new_tenant: NewTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "MAX_KEYS", 2)
    tenant_id = await new_tenant()
    noted = usage_over(watched, FakeClock())
    async with noted.flushing():
        for key_id in KEYS:
            noted.note(tenant_id, key_id, NOON)
        noted.note(tenant_id, "key_0", LATER)
    assert await last_used(watched, tenant_id) == [LATER, NOON, None]


async def test_a_server_ends_although_the_warehouse_hangs(
    watched: Any, new_tenant: NewTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "_LAST_FLUSH_SECONDS", 0.05)
    tenant_id = await new_tenant()
    watched.hangs = True
    noted = usage_over(watched, FakeClock())
    async with asyncio.timeout(10), noted.flushing():
        noted.note(tenant_id, "key_0", NOON)
    assert watched.jobs == [tenant_id]
