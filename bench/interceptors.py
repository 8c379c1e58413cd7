"""What all interceptors cost: a call that does nothing through a server of ours, beside a bare grpc.aio echo. Telemetry is off."""

from typing import Any

import grpc

from bench import echo_server, intercepted_server
from bench.report import Ratio
from bench.rounds import Rounds, in_turn
from bench.server_process import server_process
from bench.stack import CALL_SECONDS
from local_stack.api_client import CHANNEL_OPTIONS

BOUND = 1.6


async def measure(rounds: Rounds) -> Ratio:
    """Both are processes of their own that hold nothing else."""
    async with (
        server_process("bench.echo_server") as (echo_port,),
        server_process("bench.intercepted_server") as (port, key),
        grpc.aio.insecure_channel(f"127.0.0.1:{echo_port}", options=CHANNEL_OPTIONS) as bare_channel,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=CHANNEL_OPTIONS) as channel,
    ):
        bare: Any = bare_channel.unary_unary(echo_server.METHOD)
        ours: Any = channel.unary_unary(intercepted_server.METHOD)
        metadata = (("x-api-key", key),)
        taken = await in_turn(
            {
                "bare": lambda: bare(b"", metadata=metadata, timeout=CALL_SECONDS),
                "ours": lambda: ours(b"", metadata=metadata, timeout=CALL_SECONDS),
            },
            rounds=rounds.calls,
        )
    return Ratio("all interceptors / bare grpc.aio echo", taken["ours"], taken["bare"], BOUND)
