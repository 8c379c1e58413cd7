"""The stack that is measured: the throw-away one of the demo, with connections to its services and to what stands behind them."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import psutil
from temporalio.client import Client

from common.secret import read_secret_file
from common.warehouse.local import LocalWarehouse
from convergence.pipeline.v1.pipeline_service_pb2_grpc import PipelineServiceStub
from local_stack.api_client import CHANNEL_OPTIONS, ApiClient
from local_stack.throw_away import RunningStack, throw_away_stack

CALL_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Tenant:
    """An onboarded tenant; `call` are the arguments that make a stub's call its own."""

    tenant_id: str
    call: Mapping[str, Any]


class Stack:
    """A running stack, reached as its users reach it and behind their backs."""

    def __init__(self, running: RunningStack, channel: grpc.aio.Channel, temporal: Client) -> None:
        self.running = running
        self.pipelines = PipelineServiceStub(channel)
        self.temporal = temporal
        self.warehouse_token = read_secret_file(running.state.token_file("warehouse"))
        self.warehouse = LocalWarehouse(running.addresses["warehouse"], self.warehouse_token)

    async def onboard(self, tenant_id: str) -> Tenant:
        """Make a tenant; its key."""
        async with grpc.aio.insecure_channel(
            self.running.addresses["tenant_service"], options=CHANNEL_OPTIONS
        ) as channel:
            answer = await ApiClient(channel, channel, self.running.admin_key).onboard(tenant_id)
        return Tenant(tenant_id, {"metadata": (("x-api-key", answer.api_key),), "timeout": CALL_SECONDS})

    def resident_megabytes(self, name: str) -> float:
        """The memory of a server as it stands (RSS), in MB."""
        pid = int(self.running.state.pid_file(name).read_text())
        return float(psutil.Process(pid).memory_info().rss) / 1e6


@contextlib.asynccontextmanager
async def running_stack(environ: Mapping[str, str]) -> AsyncIterator[Stack]:
    """Start a stack on throw-away state, and stop it."""
    async with (
        throw_away_stack(environ, _say) as running,
        grpc.aio.insecure_channel(running.addresses["pipeline_service"], options=CHANNEL_OPTIONS) as channel,
    ):
        stack = Stack(running, channel, await Client.connect(running.addresses["temporal"]))
        try:
            yield stack
        finally:
            await stack.warehouse.close()


def _say(line: str) -> None:
    print(f"  {line}", flush=True)
