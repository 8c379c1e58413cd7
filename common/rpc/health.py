"""What a server says of itself (grpc.health.v1), which one that asks can hold up for nobody else."""

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH_SERVICE
from grpc_health.v1.health import aio as health_aio

from common.rpc.under_way import CallsUnderWay

_PATIENCE_SECONDS = 0.5


class Health:
    """The serving status of the server, its services and its dependencies, by name; that of the server has the empty name."""

    def __init__(self, under_way: CallsUnderWay) -> None:
        self._servicer = health_aio.HealthServicer()
        self._under_way = under_way

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve it."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def tell(self, names: Collection[str], *, serving: bool) -> None:
        """Say of all these whether they serve."""
        statuses = health_pb2.HealthCheckResponse
        status = statuses.SERVING if serving else statuses.NOT_SERVING
        for name in names:
            await self._told(self._servicer.set(name, status))

    async def shut_down(self) -> None:
        """Say NOT_SERVING of everything, for good."""
        await self._told(self._servicer.enter_graceful_shutdown())

    async def _told(self, telling: Coroutine[Any, Any, None]) -> None:
        """All that watch a status hear of it before it counts, so one that reads nothing would keep it from everybody: watches of health
        are ended then, and may begin anew."""
        task = asyncio.create_task(telling)
        try:
            while not (await asyncio.wait({task}, timeout=_PATIENCE_SECONDS))[0]:
                self._under_way.end(lambda method: method.startswith(f"/{HEALTH_SERVICE}/"))
        finally:
            task.cancel()
        await task
