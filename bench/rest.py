"""The same call over REST through the gateway, over gRPC through it, and over gRPC straight to the service."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc

from bench.report import Ratio
from bench.rounds import Rounds, in_turn
from bench.stack import CALL_SECONDS, Stack
from convergence.pipeline.v1.pipeline_service_pb2 import ListTemplatesRequest
from convergence.pipeline.v1.pipeline_service_pb2_grpc import PipelineServiceStub
from local_stack.api_client import CHANNEL_OPTIONS

BOUND = 3.0
PATH = "/api/v1/pipelines/templates"


async def measure(stack: Stack, rounds: Rounds) -> tuple[Ratio, Ratio]:
    """ListTemplates, warm; every caller has one connection, which it keeps, and a key of its own: taking turns they call oftener than one
    may."""
    straight, by_grpc, by_rest = [await stack.onboard(f"rest_{number}") for number in range(3)]
    address = stack.running.addresses["gateway"]
    request = ListTemplatesRequest()
    async with (
        _rest_call(address, str(dict(by_rest.call["metadata"])["x-api-key"])) as over_rest,
        grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel,
    ):
        through = PipelineServiceStub(channel)
        taken = await in_turn(
            {
                "grpc": lambda: stack.pipelines.ListTemplates(request, **straight.call),
                "through": lambda: through.ListTemplates(request, **by_grpc.call),
                "rest": over_rest,
            },
            rounds=rounds.calls,
        )
    return (
        Ratio("ListTemplates over REST / over gRPC", taken["rest"], taken["grpc"], BOUND),
        Ratio("ListTemplates over gRPC, through the gateway / straight", taken["through"], taken["grpc"]),
    )


@contextlib.asynccontextmanager
async def _rest_call(address: str, key: str) -> AsyncIterator[Callable[[], Awaitable[bytes]]]:
    """Yields what calls once and gives the body; any answer but 200 fails the measurement."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    call = f"GET {PATH} HTTP/1.1\r\nhost: {address}\r\nx-api-key: {key}\r\n\r\n".encode()

    async def once() -> bytes:
        async with asyncio.timeout(CALL_SECONDS):
            writer.write(call)
            status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            assert status == "HTTP/1.1 200 OK", status
            headers = dict(line.lower().split(": ", 1) for line in lines if line)
            return await reader.readexactly(int(headers["content-length"]))

    try:
        yield once
    finally:
        writer.close()
