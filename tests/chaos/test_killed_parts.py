"""kill -9 of each part of a real stack while runs and an onboarding are under way: nothing accepted is lost, nothing happens twice.

A short seeded round for each part in CI; `make chaos ROUNDS=100 SEED=7` for more.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import grpc
import pytest

from common.secret import read_secret_file
from common.warehouse.local import LocalWarehouse
from common.warehouse.warehouse import Row, Statement, TableRef
from convergence.pipeline.v1 import run_pb2
from local_stack import ports
from local_stack.sample_catalog import PROFILES
from local_stack.sample_data import export_table
from local_stack.sample_export import FIRST_DAY, LAST_DAY
from tests.chaos.evidence import records
from tests.chaos.patient import RECONNECT, Patient
from tests.chaos.sizes import chance, rounds
from tests.e2e.stack import PARTS, Up

RUNS_AT_ONCE = 3
LATEST_KILL_SECONDS = 0.8
"""A run takes about as long."""
MOST_KILLS = 3
"""In one round, of the same part or of different ones; in the first rounds each part is killed once."""
POLL_SECONDS = 0.1
TENANT = PROFILES[0].tenant_id
TEMPLATE, TABLE = "gcp/cost/bill-sample-export-template", "cost_daily"


@dataclass
class Stack:
    """A running stack, with one tenant onboarded."""

    up: Up
    addresses: dict[str, str]
    key: str = ""

    def kill(self, name: str) -> None:
        """kill -9 of a part, which may just be between two lives."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.up.pid(name), signal.SIGKILL)

    @contextlib.asynccontextmanager
    async def warehouse(self) -> AsyncIterator[LocalWarehouse]:
        """An adapter of the test's own."""
        opened = LocalWarehouse(self.addresses["warehouse"], read_secret_file(self.up.state / "warehouse_token"))
        yield opened
        await opened.close()

    @contextlib.asynccontextmanager
    async def patients(self) -> AsyncIterator[tuple[Patient, Patient]]:
        """An admin, who goes through the gateway, and the tenant."""
        async with (
            grpc.aio.insecure_channel(self.addresses["gateway"], options=RECONNECT) as gateway,
            grpc.aio.insecure_channel(self.addresses["tenant_service"], options=RECONNECT) as tenants,
            grpc.aio.insecure_channel(self.addresses["pipeline_service"], options=RECONNECT) as pipelines,
        ):
            admin = Patient(gateway, gateway, (self.up.state / "admin_api_key").read_text())
            self.key = self.key or (await admin.onboard(TENANT)).api_key
            yield admin, Patient(tenants, pipelines, self.key)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    assigned = ports.assign(dict.fromkeys(PARTS, 0))
    flags = [f"--{name.removesuffix('_service')}-port={port}" for name, port in assigned.items()]
    with Up(tmp_path_factory.mktemp("chaos") / ".local", *flags) as up:
        up.until_ready()
        yield Stack(up, {name: f"{ports.HOST}:{port}" for name, port in assigned.items()})


@pytest.mark.parametrize("number", range(rounds(short=len(PARTS))))
async def test_a_killed_part_loses_nothing_that_was_accepted_and_nothing_happens_twice(
    stack: Stack, number: int
) -> None:
    luck = chance(number)
    victims = [PARTS[number]] if number < len(PARTS) else luck.choices(PARTS, k=luck.randint(1, MOST_KILLS))
    days = [FIRST_DAY + timedelta(luck.randrange((LAST_DAY - FIRST_DAY).days)) for _ in range(RUNS_AT_ONCE)]
    newcomer = f"newcomer_{number}"
    async with stack.patients() as (admin, tenant):
        onboarding = asyncio.create_task(admin.onboard(newcomer))
        run_ids = [await tenant.run_template(TENANT, TEMPLATE, day.isoformat()) for day in days]
        watching = [asyncio.create_task(tenant.end_of(run_id)) for run_id in run_ids]
        for victim in victims:
            await asyncio.sleep(luck.uniform(0, LATEST_KILL_SECONDS))
            stack.kill(victim)

        while (await asyncio.wait(watching, timeout=POLL_SECONDS))[1]:
            seen = [await tenant.get_run(run_id) for run_id in run_ids]
            assert [run.pipeline_logging_id for run in seen] == run_ids
        ends = [task.result() for task in watching]
        assert [await tenant.get_run(run_id) for run_id in run_ids] == ends
        for run in ends:
            failed_visibly = len(victims) > 1 and run.status == run_pb2.Run.FAILED and run.error.message
            assert run.status == run_pb2.Run.COMPLETE or failed_visibly, run

        key = (await onboarding).api_key
        await Patient(admin.tenants, admin.pipelines, key).get_tenant(newcomer)
        published = {day: await tenant.read_table(TENANT, TABLE, day.isoformat()) for day in days}

    async with stack.warehouse() as warehouse:
        assert len(await warehouse.list_rows(TableRef(newcomer, "api_keys"))) == 1
        await assert_recorded_once(warehouse, ends)
        for day, run in zip(days, ends, strict=True):
            totals = (
                sum(int(row["line_items"]) for row in published[day]),
                sum((Decimal(row["cost"]) for row in published[day]), Decimal(0)),
            )
            if run.status == run_pb2.Run.COMPLETE or published[day]:
                (export,) = await select(
                    warehouse,
                    f"SELECT COUNT(*) AS line_items, SUM(CAST(cost AS NUMERIC)) AS cost "
                    f"FROM `{export_table(TENANT)}` WHERE DATE(usage_start_time) = DATE '{day}'",
                )
                assert totals == (export["line_items"], export["cost"]), day


async def assert_recorded_once(warehouse: LocalWarehouse, ends: list[run_pb2.Run]) -> None:
    """Each run has one row, as it ended; each attempt at a step at most one; each check of a step that succeeded one."""
    for run in ends:
        run_id = run.pipeline_logging_id
        (recorded,) = await records(warehouse, TENANT, "pipeline_runs", run_id)
        assert recorded["status"] == run_pb2.Run.Status.Name(run.status)
        attempts = [(row["step_id"], row["attempt"]) for row in await records(warehouse, TENANT, "step_logs", run_id)]
        assert len(set(attempts)) == len(attempts)
        checks = sorted(
            (str(r["step_id"]), str(r["check_name"])) for r in await records(warehouse, TENANT, "dq_results", run_id)
        )
        assert len(set(checks)) == len(checks)
        assert set(checks) >= {(step.step_id, check.name) for step in run.steps for check in step.checks}


async def select(warehouse: LocalWarehouse, sql: str) -> list[Row]:
    """The rows of a SELECT."""
    return [row async for page in await warehouse.read(Statement(sql)) for row in page]


async def test_no_key_is_in_any_file_of_the_stack_but_the_admins(stack: Stack) -> None:
    async with stack.patients() as (admin, tenant):
        keys = {key[-16:].encode() for key in (admin.key, tenant.key)}
    files = [path for path in stack.up.state.rglob("*") if path.is_file()]
    holding = [path.name for path in files if any(key in path.read_bytes() for key in keys)]
    assert holding == ["admin_api_key"]
