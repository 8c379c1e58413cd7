"""A caller who repeats what was UNAVAILABLE, under the same request id. Any other refusal fails the test."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc

from convergence.pipeline.v1 import pipeline_service_pb2 as pipeline_pb2
from convergence.pipeline.v1 import run_pb2
from convergence.pipeline.v1.pipeline_service_pb2_grpc import PipelineServiceStub
from convergence.tenant.v1 import tenant_service_pb2 as tenant_pb2
from convergence.tenant.v1.tenant_service_pb2_grpc import TenantServiceStub

T = TypeVar("T")

PATIENCE_SECONDS = 90.0
CALL_SECONDS = 45.0
TERMINAL = frozenset({run_pb2.Run.COMPLETE, run_pb2.Run.FAILED, run_pb2.Run.CANCELLED})
RECONNECT = (("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200))


@dataclass
class Patient:
    """Holds one key, and repeats a call, or watches a run, for `patience_seconds` at most. `interruptions` counts what it had to repeat."""

    tenants: grpc.aio.Channel
    pipelines: grpc.aio.Channel
    key: str
    patience_seconds: float = PATIENCE_SECONDS
    interruptions: int = 0
    _with: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self._with = {"metadata": (("x-api-key", self.key),), "timeout": CALL_SECONDS}

    async def onboard(self, tenant_id: str) -> tenant_pb2.OnboardResponse:
        """Onboard a tenant."""
        request = tenant_pb2.OnboardRequest(tenant_id=tenant_id, request_id=str(uuid.uuid4()))
        return await self._answered(lambda: TenantServiceStub(self.tenants).Onboard(request, **self._with))

    async def get_tenant(self, tenant_id: str) -> object:
        """Read the tenant."""
        request = tenant_pb2.GetTenantRequest(tenant_id=tenant_id)
        return await self._answered(lambda: TenantServiceStub(self.tenants).GetTenant(request, **self._with))

    async def run_template(self, tenant_id: str, path: str, day: str, **parameters: str) -> str:
        """Start `provider/domain/name` for a day; gives the run's id."""
        provider, domain, name = path.split("/")
        request = pipeline_pb2.RunTemplateRequest(
            tenant_id=tenant_id,
            provider=provider,
            domain=domain,
            template_name=name,
            date=day,
            parameters=parameters,
            request_id=str(uuid.uuid4()),
        )
        stub = PipelineServiceStub(self.pipelines)
        return (await self._answered(lambda: stub.RunTemplate(request, **self._with))).pipeline_logging_id

    async def backfill(self, tenant_id: str, path: str, first: str, last: str) -> str:
        """Start a backfill of `provider/domain/name`; gives its id."""
        provider, domain, name = path.split("/")
        request = pipeline_pb2.BackfillTemplateRequest(
            tenant_id=tenant_id,
            provider=provider,
            domain=domain,
            template_name=name,
            start_date=first,
            end_date=last,
            request_id=str(uuid.uuid4()),
        )
        stub = PipelineServiceStub(self.pipelines)
        return (await self._answered(lambda: stub.BackfillTemplate(request, **self._with))).pipeline_logging_id

    async def get_run(self, run_id: str) -> run_pb2.Run:
        """The run as it stands."""
        request = pipeline_pb2.GetRunRequest(pipeline_logging_id=run_id)
        return await self._answered(lambda: PipelineServiceStub(self.pipelines).GetRun(request, **self._with))

    async def end_of(self, run_id: str) -> run_pb2.Run:
        """Watch a run to its end. A stream that is not cut off must not end before."""
        request = pipeline_pb2.WatchRunRequest(pipeline_logging_id=run_id)

        async def watch() -> run_pb2.Run:
            runs = PipelineServiceStub(self.pipelines).WatchRun(
                request, **self._with | {"timeout": self.patience_seconds}
            )
            return [run async for run in runs][-1]

        run = await self._answered(watch)
        assert run.status in TERMINAL, run
        return run

    async def read_table(self, tenant_id: str, table: str, day: str) -> list[dict[str, Any]]:
        """All rows of one day."""
        request = pipeline_pb2.ReadTableRequest(tenant_id=tenant_id, table=table, start_date=day, end_date=day)

        async def read() -> list[dict[str, Any]]:
            pages = PipelineServiceStub(self.pipelines).ReadTable(request, **self._with)
            return [dict(row.items()) async for page in pages for row in page.rows]

        return await self._answered(read)

    async def _answered(self, call: Callable[[], Awaitable[T]]) -> T:
        async with asyncio.timeout(self.patience_seconds):
            while True:
                try:
                    return await call()
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise
                self.interruptions += 1
                await asyncio.sleep(0.05)
