"""What all interceptors cost: a call that does nothing, through a server of ours without telemetry and one with it, beside a bare echo."""

from collections.abc import Sequence
from typing import Any

import grpc

from bench import echo_server, intercepted_server
from bench.report import Ratio
from bench.rounds import Rounds, in_turn
from bench.server_process import server_process
from bench.stack import CALL_SECONDS
from local_stack.api_client import CHANNEL_OPTIONS

BOUND, TELLING_BOUND = 1.6, 2.0


async def measure(rounds: Rounds) -> Sequence[Ratio]:
    """All are processes of their own that hold nothing else, as is the receiver of what is told."""
    async with (
        server_process("bench.echo_server") as (echo_port,),
        server_process("bench.intercepted_server") as (port, key),
        server_process("bench.otlp_server") as (receiver_port,),
        server_process("bench.intercepted_server", f"127.0.0.1:{receiver_port}") as (telling_port, telling_key),
        _channel(echo_port) as bare_channel,
        _channel(port) as channel,
        _channel(telling_port) as telling_channel,
    ):
        bare: Any = bare_channel.unary_unary(echo_server.METHOD)
        ours: Any = channel.unary_unary(intercepted_server.METHOD)
        telling: Any = telling_channel.unary_unary(intercepted_server.METHOD)
        metadata, telling_metadata = (("x-api-key", key),), (("x-api-key", telling_key),)
        taken = await in_turn(
            {
                "bare": lambda: bare(b"", metadata=metadata, timeout=CALL_SECONDS),
                "ours": lambda: ours(b"", metadata=metadata, timeout=CALL_SECONDS),
                "telling": lambda: telling(b"", metadata=telling_metadata, timeout=CALL_SECONDS),
            },
            rounds=rounds.calls,
        )
    return (
        Ratio("all interceptors / bare grpc.aio echo", taken["ours"], taken["bare"], BOUND),
        Ratio("the same with telemetry on", taken["telling"], taken["bare"], TELLING_BOUND),
    )


def _channel(port: str) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=CHANNEL_OPTIONS)
