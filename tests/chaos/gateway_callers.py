"""Callers of both services through the gateway, so many calls in a second by the clock. Each call is made once: they repeat nothing.

Most of them wait for runs, as callers of such a service do; the others look at what there is, and a few start runs.
"""

import asyncio
import itertools
import time
import uuid
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from http.client import HTTPConnection, HTTPException
from typing import Any

import grpc

from convergence.pipeline.v1 import pipeline_service_pb2 as pipeline_pb2
from convergence.pipeline.v1.pipeline_service_pb2_grpc import PipelineServiceStub
from convergence.tenant.v1 import tenant_service_pb2 as tenant_pb2
from convergence.tenant.v1.tenant_service_pb2_grpc import TenantServiceStub
from tests.chaos.installation import Tenant
from tests.gateway.rest import Answer, Rest

CALL_SECONDS = 30.0
REST_CALLS_AT_ONCE = 16


Kind = tuple[str, Callable[[], Awaitable[object]]]


class Callers:
    """`run_id` is a run that has been accepted, whose callers wait for it; those that they start follow it. `failures` says of each call
    that failed which it was and how."""

    def __init__(self, channel: grpc.aio.Channel, rest: Rest, tenant: Tenant, run_id: str) -> None:
        self.run_ids = [run_id]
        self.kinds: Counter[str] = Counter()
        self.seconds: list[float] = []
        self.failures: list[str] = []
        self._tenant_id = tenant.tenant_id
        self._pipelines, self._tenants = PipelineServiceStub(channel), TenantServiceStub(channel)
        self._with: dict[str, Any] = {"metadata": (("x-api-key", tenant.key),), "timeout": CALL_SECONDS}
        self._rest = Rest(rest.address, tenant.key)
        self._threads = ThreadPoolExecutor(REST_CALLS_AT_ONCE)
        self._idle: deque[HTTPConnection] = deque()
        self.reads = self._reads()
        self.starts: tuple[Kind, ...] = (
            ("RunTemplate", self._run),
            ("RunTemplate over REST", self._run_over_rest),
        )

    def _reads(self) -> tuple[Kind, ...]:
        """Five in seven ask how the newest run stands; a third of all come over REST."""
        runs, tenant = f"/api/v1/tenants/{self._tenant_id}/runs?page_size=5", f"/api/v1/tenants/{self._tenant_id}"
        get_run, get_run_over_rest = ("GetRun", self._get_run), ("GetRun over REST", self._get_run_over_rest)
        list_templates = ("ListTemplates", self._list_templates)
        waiting = (get_run, get_run_over_rest, get_run, list_templates, get_run, get_run_over_rest)
        return (
            *(*waiting, ("GetTenant", self._get_tenant)),
            *(*waiting, ("ListRuns", self._list_runs)),
            *(*waiting, ("GetTenant over REST", lambda: self._over_rest("GET", tenant))),
            *(*waiting, ("ListRuns over REST", lambda: self._over_rest("GET", runs))),
        )

    async def until(self, over: asyncio.Event, *, calls_per_second: float, calls_per_start: int) -> None:
        """So many calls in a second, however long each takes, until it is over; of so many one starts a run. Ends once all have ended."""
        reads, starts = itertools.cycle(self.reads), itertools.cycle(self.starts)
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in itertools.count(1):
                await asyncio.sleep(max(0.0, began + number / calls_per_second - time.monotonic()))
                if over.is_set():
                    return
                group.create_task(self._timed(*next(reads if number % calls_per_start else starts)))

    async def _timed(self, kind: str, call: Callable[[], Awaitable[object]]) -> None:
        started = time.monotonic()
        try:
            await call()
        except (grpc.aio.AioRpcError, OSError, HTTPException, AssertionError) as error:
            self.failures.append(f"{kind} after {time.monotonic() - started:.3f} s: {error}")
        self.kinds[kind] += 1
        self.seconds.append(time.monotonic() - started)

    async def _get_run(self) -> None:
        run_id = self.run_ids[-1]
        run = await self._pipelines.GetRun(pipeline_pb2.GetRunRequest(pipeline_logging_id=run_id), **self._with)
        assert run.pipeline_logging_id == run_id

    async def _get_run_over_rest(self) -> None:
        run_id = self.run_ids[-1]
        answer = await self._over_rest("GET", f"/api/v1/pipelines/runs/{run_id}")
        assert answer.json["pipeline_logging_id"] == run_id

    async def _list_runs(self) -> None:
        request = pipeline_pb2.ListRunsRequest(tenant_id=self._tenant_id, page_size=5)
        assert (await self._pipelines.ListRuns(request, **self._with)).runs

    async def _list_templates(self) -> None:
        assert (await self._pipelines.ListTemplates(pipeline_pb2.ListTemplatesRequest(), **self._with)).templates

    async def _get_tenant(self) -> None:
        request = tenant_pb2.GetTenantRequest(tenant_id=self._tenant_id)
        assert (await self._tenants.GetTenant(request, **self._with)).tenant_id

    async def _run(self) -> None:
        request = pipeline_pb2.RunTemplateRequest(
            tenant_id=self._tenant_id,
            provider="gcp",
            domain="test",
            template_name="one",
            request_id=str(uuid.uuid4()),
        )
        answer = await self._pipelines.RunTemplate(request, **self._with)
        self.run_ids.append(answer.pipeline_logging_id)

    async def _run_over_rest(self) -> None:
        path = f"/api/v1/pipelines/run/{self._tenant_id}/gcp/test/one"
        answer = await self._over_rest("POST", path, {"request_id": str(uuid.uuid4())})
        self.run_ids.append(answer.json["pipeline_logging_id"])

    async def _over_rest(self, verb: str, path: str, body: object = None) -> Answer:
        answer = await asyncio.get_running_loop().run_in_executor(self._threads, self._exchange, verb, path, body)
        assert answer.status == 200, answer
        return answer

    def _exchange(self, verb: str, path: str, body: object) -> Answer:
        """Over a connection that is kept for the next call; one that a call fails on is not."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._rest.connection()
        try:
            answer = self._rest.over(connection, verb, path, body)
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return answer

    def close(self) -> None:
        """Close what was kept open."""
        self._threads.shutdown()
        for connection in self._idle:
            connection.close()


@asynccontextmanager
async def callers_of(rest: Rest, tenant: Tenant, run_id: str) -> AsyncIterator[Callers]:
    """Callers of the gateway that `rest` calls."""
    async with grpc.aio.insecure_channel(rest.address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        callers = Callers(channel, rest, tenant, run_id)
        try:
            yield callers
        finally:
            callers.close()
