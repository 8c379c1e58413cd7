"""How to tell that a part serves. A probe answers at once or within its deadline, and never raises because the part is away."""

import asyncio
from collections.abc import Awaitable, Callable

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.channels import DIRECT
from local_stack.ports import HOST

Probe = Callable[[], Awaitable[bool]]
DEADLINE_SECONDS = 1.0


def listens(port: int, host: str = HOST) -> Probe:
    """The part accepts TCP connections."""

    async def probe() -> bool:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                _, writer = await asyncio.open_connection(host, port)
        except (OSError, TimeoutError):
            return False
        writer.close()
        return True

    return probe


def answers(port: int, path: str, host: str = HOST) -> Probe:
    """The part answers `GET path` with 200, over HTTP/1.1."""

    async def probe() -> bool:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                reader, writer = await asyncio.open_connection(host, port)
                try:
                    writer.write(f"GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
                    status = await reader.readline()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return False
        return status.split()[1:2] == [b"200"]

    return probe


def serves(port: int, service: str = "") -> Probe:
    """The part's gRPC health check answers SERVING for `service`; the empty name means the server as a whole."""
    accepts = listens(port)

    async def probe() -> bool:
        if not await accepts():
            return False
        options = [DIRECT, ("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(f"{HOST}:{port}", options=options) as channel:
            request = health_pb2.HealthCheckRequest(service=service)
            try:
                answer = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=DEADLINE_SECONDS)
            except grpc.aio.AioRpcError:
                return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    return probe
