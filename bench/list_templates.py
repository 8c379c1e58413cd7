"""ListTemplates, warm and authenticated, beside a bare grpc.aio echo without interceptors."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc

from bench.echo_server import METHOD
from bench.report import Ratio
from bench.rounds import Rounds, in_turn
from bench.stack import CALL_SECONDS, Stack, Tenant
from convergence.pipeline.v1.pipeline_service_pb2 import ListTemplatesRequest
from local_stack.api_client import CHANNEL_OPTIONS
from local_stack.process import TETHER

BOUND = 2.0


async def measure(stack: Stack, tenant: Tenant, rounds: Rounds) -> Ratio:
    """The echo is a process of its own, as the service is."""
    request = ListTemplatesRequest()
    async with _echo_server() as address, grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
        echo: Any = channel.unary_unary(METHOD)
        taken = await in_turn(
            {
                "echo": lambda: echo(b"echo", timeout=CALL_SECONDS),
                "list": lambda: stack.pipelines.ListTemplates(request, **tenant.call),
            },
            rounds=rounds.calls,
        )
    return Ratio("ListTemplates / bare grpc.aio echo", taken["list"], taken["echo"], BOUND)


@contextlib.asynccontextmanager
async def _echo_server() -> AsyncIterator[str]:
    command = (*TETHER, str(os.getpid()), sys.executable, "-m", "bench.echo_server")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout
        yield f"127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        process.kill()
        await process.wait()
