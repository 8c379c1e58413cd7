"""TLS and mTLS over real connections: who may connect, and that renewed certificates serve without a restart."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.errors import DependencyRefused, Unavailable
from common.rpc.server import Server
from common.secret import Secret
from convergence.pipeline.v1 import pipeline_service_pb2 as pb2
from convergence.pipeline.v1.pipeline_service_pb2_grpc import (
    PipelineServiceServicer,
    add_PipelineServiceServicer_to_server,
)
from tenant_service.bootstrap import pipeline_channel
from tenant_service.pipeline_client import PipelineClient
from tests.certificates import Authority, Pair, PairFiles, pair_files
from tests.rpc.bare_server import bare_server
from tests.rpc.tenant_stack import settings_for

CLIENTS, SERVERS, STRANGER = Authority("clients"), Authority("servers"), Authority("stranger")
NO_PAIR = Pair(b"", b"")
PIPELINES = "convergence.pipeline.v1.PipelineService"


@pytest.fixture
def files(tmp_path: Path) -> PairFiles:
    (tmp_path / "clients.crt").write_bytes(CLIENTS.certificate)
    (tmp_path / "servers.crt").write_bytes(SERVERS.certificate)
    return pair_files(tmp_path, "server", SERVERS.issue())


def tls_options(files: PairFiles, *, mutual: bool = True) -> dict[str, Any]:
    ca_file = files.certificate.with_name("clients.crt") if mutual else None
    return {"tls_certificate_file": files.certificate, "tls_key_file": files.key, "tls_client_ca_file": ca_file}


@pytest.fixture
async def server(files: PairFiles) -> AsyncIterator[Server]:
    async with bare_server(**tls_options(files)) as running:
        yield running


async def status(server: Server, authority: bytes, pair: Pair = NO_PAIR) -> str:
    """What a health check over a new connection comes to."""
    credentials = grpc.ssl_channel_credentials(authority, pair.key or None, pair.certificate or None)
    async with grpc.aio.secure_channel(f"127.0.0.1:{server.port}", credentials) as channel:
        return await health(channel)


async def health(channel: grpc.aio.Channel) -> str:
    try:
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


async def test_with_tls_only_who_knows_the_authority_talks_to_the_server(files: PairFiles) -> None:
    async with bare_server(**tls_options(files, mutual=False)) as running:
        assert await status(running, SERVERS.certificate) == "OK"
        assert await status(running, STRANGER.certificate) == "UNAVAILABLE"
        async with grpc.aio.insecure_channel(f"127.0.0.1:{running.port}") as plaintext:
            assert await health(plaintext) == "UNAVAILABLE"


async def test_with_mtls_only_a_client_of_the_authority_connects(server: Server) -> None:
    assert await status(server, SERVERS.certificate, CLIENTS.issue()) == "OK"
    for pair in (NO_PAIR, STRANGER.issue(), SERVERS.issue()):
        assert await status(server, SERVERS.certificate, pair) == "UNAVAILABLE"


async def test_a_renewed_certificate_serves_the_next_connection_and_cuts_none(server: Server, files: PairFiles) -> None:
    client, moved = CLIENTS.issue(), Authority("servers to come")
    credentials = grpc.ssl_channel_credentials(SERVERS.certificate, client.key, client.certificate)
    async with grpc.aio.secure_channel(f"127.0.0.1:{server.port}", credentials) as before:
        assert await health(before) == "OK"
        files.write(moved.issue())
        assert await status(server, moved.certificate, client) == "OK"
        assert await status(server, SERVERS.certificate, client) == "UNAVAILABLE"
        assert await health(before) == "OK"


async def test_a_renewal_that_does_not_fit_leaves_the_server_as_it_was(server: Server, files: PairFiles) -> None:
    files.certificate.write_bytes(STRANGER.issue().certificate)
    assert await status(server, SERVERS.certificate, CLIENTS.issue()) == "OK"


async def test_renewed_authorities_of_clients_count_from_the_next_connection_on(
    server: Server, files: PairFiles
) -> None:
    client = STRANGER.issue()
    assert await status(server, SERVERS.certificate, client) == "UNAVAILABLE"
    files.certificate.with_name("clients.crt").write_bytes(STRANGER.certificate)
    assert await status(server, SERVERS.certificate, client) == "OK"


async def test_a_server_whose_files_do_not_do_does_not_start_and_names_them(files: PairFiles) -> None:
    files.key.unlink()
    files.certificate.with_name("clients.crt").unlink()
    with pytest.raises(ValueError, match=r"server\.key: No such file.*clients\.crt: No such file"):
        async with bare_server(**tls_options(files)):
            pass


class Pipelines(PipelineServiceServicer):
    """Has nothing to cancel."""

    async def CancelRuns(self, request: Any, context: Any) -> pb2.CancelRunsResponse:  # noqa: N802 - gRPC names it
        return pb2.CancelRunsResponse()


async def test_tenant_service_calls_pipeline_service_over_mtls_and_renews_both_ends(
    files: PairFiles, tmp_path: Path
) -> None:
    ours = pair_files(tmp_path, "ours", CLIENTS.issue())
    pipelines = Pipelines()  # type: ignore[abstract]
    services = {PIPELINES: lambda server: add_PipelineServiceServicer_to_server(pipelines, server)}
    async with bare_server(services, **tls_options(files)) as running:
        settings = settings_for(
            tmp_path,
            "127.0.0.1:1",
            pipeline_service_address=f"127.0.0.1:{running.port}",
            pipeline_service_tls=True,
            pipeline_service_tls_ca_file=tmp_path / "servers.crt",
            pipeline_service_tls_server_name="localhost",
            pipeline_service_tls_certificate_file=ours.certificate,
            pipeline_service_tls_key_file=ours.key,
        )
        channel = pipeline_channel(settings)
        client = PipelineClient(channel.get, bound_seconds=1.0)
        await client.cancel_runs(Secret("good"), "acme")
        ours.write(STRANGER.issue())
        with pytest.raises(Unavailable):
            await client.cancel_runs(Secret("good"), "acme")
        ours.write(CLIENTS.issue())
        files.write(STRANGER.issue())
        (tmp_path / "servers.crt").write_bytes(STRANGER.certificate)
        await client.cancel_runs(Secret("good"), "acme")
        with pytest.raises(DependencyRefused):
            await client.cancel_runs(Secret("bad"), "acme")
        await channel.close()
