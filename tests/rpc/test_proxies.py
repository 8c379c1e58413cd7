"""A plaintext channel of ours goes where its settings say, also where the environment names a proxy."""

import socket
from collections.abc import Iterator

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.rpc.tls import RenewedChannel
from tests.rpc.bare_server import bare_server
from tests.warehouses import LocalServer


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """What the environment names as proxy of everything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
            monkeypatch.delenv(name, raising=False)
        for name in ("http_proxy", "https_proxy", "grpc_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{listener.getsockname()[1]}")
        yield listener


def was_called(proxy: socket.socket) -> bool:
    try:
        proxy.accept()[0].close()
    except BlockingIOError:
        return False
    return True


async def test_channel_of_a_service_passes_by_the_proxy(proxy: socket.socket) -> None:
    async with bare_server() as server:
        channel = RenewedChannel(f"127.0.0.1:{server.port}", tls=None)
        health = health_pb2_grpc.HealthStub(channel.get())
        await health.Check(health_pb2.HealthCheckRequest(), timeout=10)
        await channel.close()
    assert not was_called(proxy)


async def test_connection_of_the_local_warehouse_passes_by_the_proxy(
    proxy: socket.socket, local_server: LocalServer
) -> None:
    warehouse = local_server.connect()
    await warehouse.list_datasets(label="none")
    await warehouse.close()
    assert not was_called(proxy)
