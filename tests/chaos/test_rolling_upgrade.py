"""Two replicas are replaced one after the other while runs are under way: none is lost, and calls go on."""

import asyncio

import pytest

from common.warehouse.warehouse import TableRef
from convergence.pipeline.v1 import run_pb2
from tests.chaos.evidence import assert_done_once
from tests.chaos.fate import Fate
from tests.chaos.installation import TEMPLATE, Installation, Tenant, caller
from tests.chaos.replica import Replica
from tests.chaos.sizes import FULL
from tests.rpc.pipeline_stack import DAY

TENANTS = 6 if FULL else 2
UPGRADES = 5 if FULL else 1
GRACE_SECONDS, STEP_SECONDS = 0.5, 0.8
"""Some steps finish within the grace period, others go on elsewhere."""


@pytest.mark.timeout(900 if FULL else 180)
async def test_a_rolling_upgrade_loses_no_run_and_refuses_no_call_for_good(place: Installation) -> None:
    """Every call either succeeds or is UNAVAILABLE and succeeds when it is repeated: a Patient stands for nothing else."""
    tenants = [await place.onboard() for _ in range(TENANTS)]
    pair = place.pair(shutdown_grace_seconds=GRACE_SECONDS)
    slow = Fate(slow_seconds=STEP_SECONDS)
    for replica in pair:
        await replica.start(slow)
    over = asyncio.Event()
    running = [
        asyncio.create_task(runs_until(over, tenant, note, *pair)) for tenant in tenants for note in ("one", "another")
    ]
    for _ in range(UPGRADES):
        for replica in pair:
            await asyncio.sleep(STEP_SECONDS / 2)  # so that steps are under way
            replica.terminate()
            assert await replica.ended() == 0
            await replica.start(slow)
    over.set()
    ends = [run for runs in await asyncio.gather(*running) for run in runs]
    for tenant in tenants:
        mine = [run for run in ends if run.tenant_id == tenant.tenant_id]
        for run in mine:
            await assert_done_once(place, tenant, run)
        recorded = await place.warehouse.list_rows(TableRef(tenant.tenant_id, "pipeline_runs"))
        assert {row["pipeline_logging_id"] for row in recorded} == {run.pipeline_logging_id for run in mine}
        assert len(recorded) == len(mine) > 1


async def runs_until(over: asyncio.Event, tenant: Tenant, note: str, *replicas: Replica) -> list[run_pb2.Run]:
    """Runs of the tenant, one after the other, from now until it is over: as they ended."""
    ends: list[run_pb2.Run] = []
    async with caller(tenant, *replicas) as patient:
        while not over.is_set():
            run_id = await patient.run_template(tenant.tenant_id, TEMPLATE, DAY, note=note)
            seen = await patient.get_run(run_id)
            assert seen.pipeline_logging_id == run_id
            ends.append(await patient.end_of(run_id))
    return ends
