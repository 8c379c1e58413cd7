"""All replicas of both services are replaced one after the other under a steady stream of calls through the gateway: none of them fails.

Unlike a Patient these callers repeat nothing: whatever has to be repeated, the gateway repeats.
"""

import asyncio
from pathlib import Path

import pytest

from common.rpc.run_service import CLOSING_SECONDS
from convergence.pipeline.v1 import run_pb2
from tests.chaos.gateway_callers import callers_of
from tests.chaos.installation import caller, installation
from tests.chaos.sizes import CALLS_PER_SECOND, FULL
from tests.gateway.rest import gateway_before
from tests.warehouses import LocalServer

CALLS_PER_START = 200 if FULL else 50
"""Of so many calls one starts a run, which is fifty times the work of any other."""
ROUNDS = 3 if FULL else 1
"""How often each of the four processes is replaced."""
APART_SECONDS = 4.0 if FULL else 1.5
"""How long a replica has served before the next one goes: longer than the gateway takes to see that it is healthy."""
DELAY_SECONDS, GRACE_SECONDS = 2.0, 5.0


@pytest.mark.timeout(900 if FULL else 180)
async def test_a_rolling_restart_behind_the_gateway_fails_not_one_call(
    local_server: LocalServer, temporal_address: str, tmp_path: Path
) -> None:
    warehouse = local_server.connect()
    ending = {"shutdown_delay_seconds": DELAY_SECONDS, "shutdown_grace_seconds": GRACE_SECONDS}
    async with installation(tmp_path, warehouse, local_server, temporal_address) as place:
        tenant = await place.onboard(export=False)
        pipelines, tenants = place.pair(**ending), place.tenant_pair(**ending)
        await asyncio.gather(*(replica.start() for replica in (*pipelines, *tenants)))
        async with caller(tenant, *pipelines) as patient:
            run_id = await patient.run_template(tenant.tenant_id, "gcp/test/one", "")
            await patient.end_of(run_id)
        replicas = {
            "pipeline_service": [replica.address for replica in pipelines],
            "tenant_service": [replica.address for replica in tenants],
        }
        async with gateway_before(tmp_path, replicas) as rest, callers_of(rest, tenant, run_id) as callers:
            over = asyncio.Event()
            calling = asyncio.create_task(
                callers.until(over, calls_per_second=CALLS_PER_SECOND, calls_per_start=CALLS_PER_START)
            )
            for _ in range(ROUNDS):
                for replica in (*pipelines, *tenants):
                    await asyncio.sleep(APART_SECONDS)
                    replica.terminate()
                    assert await replica.ended(DELAY_SECONDS + GRACE_SECONDS + CLOSING_SECONDS) == 0
                    await replica.start()
            over.set()
            await calling
        made, longest = sum(callers.kinds.values()), max(callers.seconds)
        print(f"{made} calls, {len(callers.failures)} failed, longest {longest:.3f} s: {callers.kinds}")
        assert callers.failures == []
        assert callers.kinds.keys() == {kind for kind, _ in (*callers.reads, *callers.starts)}
        assert made >= CALLS_PER_SECOND * APART_SECONDS * ROUNDS * len((*pipelines, *tenants))
        async with caller(tenant, *pipelines) as patient:
            ends = [await patient.end_of(run_id) for run_id in callers.run_ids]
        assert {run.status for run in ends} == {run_pb2.Run.COMPLETE}, "what was accepted has been done"
    await warehouse.close()
