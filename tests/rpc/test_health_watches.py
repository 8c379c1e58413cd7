"""Whoever watches a server's health and reads nothing holds up neither what it says to others nor its end."""

import asyncio
import socket
import struct
from contextlib import closing, nullcontext

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.clock import SystemClock
from common.rpc.server import Server
from common.rpc.settings import ServerSettings
from tests.rpc.bare_server import OneKey
from tests.waiting import until

PATIENCE_SECONDS = 30.0
HEADERS = {
    b":method": b"POST",
    b":scheme": b"http",
    b":path": b"/grpc.health.v1.Health/Watch",
    b":authority": b"localhost",
    b"te": b"trailers",
    b"content-type": b"application/grpc",
}
DATA, HEADER, SETTINGS = 0, 1, 4
END_STREAM, END_HEADERS, ACK = 1, 4, 1
INITIAL_WINDOW_SIZE = 4


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """RFC 9113, section 4.1."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def watch_and_read_nothing(port: int) -> socket.socket:
    """A call of Watch by a client that lets the server send no data."""
    block = b"".join(b"\0" + bytes([len(name)]) + name + bytes([len(text)]) + text for name, text in HEADERS.items())
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, 0))
        + frame(SETTINGS, ACK, 0, b"")
        + frame(HEADER, END_HEADERS, 1, block)
        + frame(DATA, END_STREAM, 1, bytes(5))
    )
    return connection


async def test_watcher_that_reads_nothing_keeps_a_server_neither_from_serving_nor_from_ending() -> None:
    answers, probed = asyncio.Event(), asyncio.Event()

    async def probe() -> None:
        probed.set()
        if not answers.is_set():
            raise OSError("away")

    server = Server(
        ServerSettings(_env_file=None, listen_address="127.0.0.1:0", shutdown_grace_seconds=1.0),
        services={},
        authenticator=OneKey(),
        dependencies={"engine": probe},
        beside=nullcontext(),
        clock=SystemClock(),
    )
    await server.start()
    await probed.wait()
    with closing(await asyncio.to_thread(watch_and_read_nothing, server.port)):
        await until(lambda: watchers(server) == 1, PATIENCE_SECONDS)
        answers.set()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel, asyncio.timeout(PATIENCE_SECONDS):
            health, request = health_pb2_grpc.HealthStub(channel), health_pb2.HealthCheckRequest()
            serving = health_pb2.HealthCheckResponse.SERVING
            while (await health.Check(request)).status != serving:  # noqa: ASYNC110 - it says when it says
                await asyncio.sleep(0.05)
        with closing(await asyncio.to_thread(watch_and_read_nothing, server.port)):
            await until(lambda: watchers(server) == 1, PATIENCE_SECONDS)
            async with asyncio.timeout(PATIENCE_SECONDS):
                await server.stop()


def watchers(server: Server) -> int:
    """How many calls watch the server's health."""
    return list(server._under_way._methods.values()).count("/grpc.health.v1.Health/Watch")
