"""ListTemplates, warm and authenticated, beside a bare grpc.aio echo without interceptors."""

from typing import Any

import grpc

from bench.echo_server import METHOD
from bench.report import Ratio
from bench.rounds import Rounds, in_turn
from bench.server_process import server_process
from bench.stack import CALL_SECONDS, Stack, Tenant
from convergence.pipeline.v1.pipeline_service_pb2 import ListTemplatesRequest
from local_stack.api_client import CHANNEL_OPTIONS

BOUND = 2.0


async def measure(stack: Stack, tenant: Tenant, rounds: Rounds) -> Ratio:
    """The echo is a process of its own, as the service is."""
    request = ListTemplatesRequest()
    async with (
        server_process("bench.echo_server") as (port,),
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=CHANNEL_OPTIONS) as channel,
    ):
        echo: Any = channel.unary_unary(METHOD)
        taken = await in_turn(
            {
                "echo": lambda: echo(b"echo", timeout=CALL_SECONDS),
                "list": lambda: stack.pipelines.ListTemplates(request, **tenant.call),
            },
            rounds=rounds.calls,
        )
    return Ratio("ListTemplates / bare grpc.aio echo", taken["list"], taken["echo"], BOUND)
