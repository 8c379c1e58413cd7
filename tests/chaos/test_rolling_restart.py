"""All replicas of both services are replaced one after the other under a steady stream of calls through the gateway: none of them fails.

Unlike a Patient these callers repeat nothing: whatever has to be repeated, the gateway repeats.
"""

import asyncio
import itertools
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from common.rpc.run_service import CLOSING_SECONDS
from convergence.pipeline.v1 import pipeline_service_pb2 as pipeline_pb2
from convergence.pipeline.v1 import run_pb2
from convergence.pipeline.v1.pipeline_service_pb2_grpc import PipelineServiceStub
from convergence.tenant.v1 import tenant_service_pb2 as tenant_pb2
from convergence.tenant.v1.tenant_service_pb2_grpc import TenantServiceStub
from tests.chaos.installation import Tenant, caller, installation
from tests.chaos.sizes import FULL
from tests.gateway.rest import Answer, Rest, gateway_before
from tests.warehouses import LocalServer

CALLS_PER_SECOND = 200 if FULL else 30
ROUNDS = 3 if FULL else 1
"""How often each of the four processes is replaced."""
APART_SECONDS = 4.0 if FULL else 1.5
"""How long a replica has served before the next one goes: longer than the gateway takes to see that it is healthy."""
DELAY_SECONDS, GRACE_SECONDS = 2.0, 5.0
CALL_SECONDS = 30.0
REST_CALLERS = 16


@dataclass
class Callers:
    """Call both services through the gateway, each call once. `failures` says of each that failed which it was and how."""

    channel: grpc.aio.Channel
    rest: Rest
    tenant: Tenant
    run_id: str
    seconds: list[float] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    run_ids: set[str] = field(default_factory=set)
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(REST_CALLERS))

    async def until(self, over: asyncio.Event) -> None:
        """So many calls in a second, however long each takes, until it is over; ends once all have ended."""
        calls = itertools.cycle(self._mix())
        interval, started = 1 / CALLS_PER_SECOND, time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in itertools.count():
                await asyncio.sleep(max(0.0, started + number * interval - time.monotonic()))
                if over.is_set():
                    return
                group.create_task(self._timed(*next(calls)))

    def _mix(self) -> Sequence[tuple[str, Callable[[], Awaitable[object]]]]:
        """One call in ten changes something."""
        reads = (
            ("GetRun", self._get_run),
            ("ListRuns", self._list_runs),
            ("GetTenant", self._get_tenant),
            ("GetRun over REST", lambda: self._rest("GET", f"/api/v1/pipelines/runs/{self.run_id}")),
            ("GetRun", self._get_run),
            ("ListRuns over REST", lambda: self._rest("GET", f"/api/v1/tenants/{self.tenant.tenant_id}/runs")),
            ("GetTenant", self._get_tenant),
            ("GetRun", self._get_run),
            ("GetTenant over REST", lambda: self._rest("GET", f"/api/v1/tenants/{self.tenant.tenant_id}")),
        )
        return (*reads, ("RunTemplate", self._run), *reads, ("RunTemplate over REST", self._run_over_rest))

    async def _timed(self, kind: str, call: Callable[[], Awaitable[object]]) -> None:
        started = time.monotonic()
        try:
            await call()
        except (grpc.aio.AioRpcError, OSError, AssertionError) as error:
            self.failures.append(f"{kind} after {time.monotonic() - started:.3f} s: {error}")
        self.kinds[kind] += 1
        self.seconds.append(time.monotonic() - started)

    @property
    def _with(self) -> dict[str, Any]:
        return {"metadata": (("x-api-key", self.tenant.key),), "timeout": CALL_SECONDS}

    async def _get_run(self) -> None:
        request = pipeline_pb2.GetRunRequest(pipeline_logging_id=self.run_id)
        run = await PipelineServiceStub(self.channel).GetRun(request, **self._with)
        assert run.pipeline_logging_id == self.run_id

    async def _list_runs(self) -> None:
        request = pipeline_pb2.ListRunsRequest(tenant_id=self.tenant.tenant_id, page_size=5)
        assert (await PipelineServiceStub(self.channel).ListRuns(request, **self._with)).runs

    async def _get_tenant(self) -> None:
        request = tenant_pb2.GetTenantRequest(tenant_id=self.tenant.tenant_id)
        assert (await TenantServiceStub(self.channel).GetTenant(request, **self._with)).tenant_id

    async def _run(self) -> None:
        request = pipeline_pb2.RunTemplateRequest(
            tenant_id=self.tenant.tenant_id,
            provider="gcp",
            domain="test",
            template_name="one",
            request_id=str(uuid.uuid4()),
        )
        answer = await PipelineServiceStub(self.channel).RunTemplate(request, **self._with)
        self.run_ids.add(answer.pipeline_logging_id)

    async def _run_over_rest(self) -> None:
        path = f"/api/v1/pipelines/run/{self.tenant.tenant_id}/gcp/test/one"
        answer = await self._rest("POST", path, {"request_id": str(uuid.uuid4())})
        self.run_ids.add(answer.json["pipeline_logging_id"])

    async def _rest(self, verb: str, path: str, body: object = None) -> Answer:
        rest = Rest(self.rest.address, self.tenant.key)
        answer = await asyncio.get_running_loop().run_in_executor(self._threads, rest, verb, path, body)
        assert answer.status == 200, answer
        return answer


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
        async with (
            gateway_before(tmp_path, replicas) as rest,
            grpc.aio.insecure_channel(rest.address, [("grpc.use_local_subchannel_pool", 1)]) as channel,
        ):
            callers, over = Callers(channel, rest, tenant, run_id), asyncio.Event()
            calling = asyncio.create_task(callers.until(over))
            for _ in range(ROUNDS):
                for replica in (*pipelines, *tenants):
                    await asyncio.sleep(APART_SECONDS)
                    replica.terminate()
                    assert await replica.ended(DELAY_SECONDS + GRACE_SECONDS + CLOSING_SECONDS) == 0
                    await replica.start()
            over.set()
            await calling
        longest = max(callers.seconds)
        print(
            f"{sum(callers.kinds.values())} calls, {len(callers.failures)} failed, longest {longest:.3f} s: {callers.kinds}"
        )
        assert callers.failures == []
        assert min(callers.kinds.values()) >= CALLS_PER_SECOND * APART_SECONDS * len(replicas) / 20
        async with caller(tenant, *pipelines) as patient:
            ends = [await patient.end_of(run_id) for run_id in callers.run_ids]
        assert {run.status for run in ends} == {run_pb2.Run.COMPLETE}, "what was accepted has been done"
    await warehouse.close()
