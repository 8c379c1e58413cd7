"""PipelineService without anything behind it: its calls and watches last as long as a test wants."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from common.rpc.server import Server
from convergence.pipeline.v1 import pipeline_service_pb2 as pb2
from convergence.pipeline.v1 import run_pb2
from convergence.pipeline.v1.pipeline_service_pb2_grpc import (
    PipelineServiceServicer,
    PipelineServiceStub,
    add_PipelineServiceServicer_to_server,
)
from pipeline_service.bootstrap import SERVICE_NAME, WATCHES
from tests.rpc.bare_server import bare_server


class FakePipelines(PipelineServiceServicer):
    """ListTemplates waits while calls are held, and WatchRun for ever after its first message."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.at_work = 0
        self.cancelled = 0
        self.watching = 0
        self.metadata: list[dict[str, Any]] = []

    async def ListTemplates(self, request: Any, context: Any) -> pb2.ListTemplatesResponse:  # noqa: N802
        self.metadata.append(dict(context.invocation_metadata()))
        self.at_work += 1
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.at_work -= 1
        return pb2.ListTemplatesResponse(next_page_token=request.page_token)

    async def CancelRuns(self, request: Any, context: Any) -> pb2.CancelRunsResponse:  # noqa: N802
        self.metadata.append(dict(context.invocation_metadata()))
        return pb2.CancelRunsResponse()

    async def WatchRun(self, request: Any, context: Any) -> AsyncIterator[run_pb2.Run]:  # noqa: N802
        self.metadata.append(dict(context.invocation_metadata()))
        self.watching += 1
        try:
            yield run_pb2.Run()
            await asyncio.Event().wait()
        finally:
            self.watching -= 1


@dataclass
class Fake:
    """The running server."""

    pipelines: FakePipelines
    server: Server
    channel: grpc.aio.Channel

    @property
    def stub(self) -> Any:
        return PipelineServiceStub(self.channel)

    def call(self, key: str = "acme/1", *, timeout: float | None = 30, **fields: Any) -> Any:
        """ListTemplates."""
        return self.stub.ListTemplates(
            pb2.ListTemplatesRequest(**fields), metadata=(("x-api-key", key),), timeout=timeout
        )

    def watch(self, key: str = "acme/1") -> Any:
        """WatchRun."""
        return self.stub.WatchRun(pb2.WatchRunRequest(), metadata=(("x-api-key", key),), timeout=60)


@asynccontextmanager
async def fake_pipelines(**options: Any) -> AsyncIterator[Fake]:
    """Serve it with these settings, clock or authenticator."""
    pipelines = FakePipelines()  # type: ignore[abstract]
    services = {SERVICE_NAME: lambda server: add_PipelineServiceServicer_to_server(pipelines, server)}
    async with bare_server(services, watches=WATCHES, **options) as server:
        local = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", local) as channel:
            yield Fake(pipelines, server, channel)
