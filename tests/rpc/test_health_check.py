"""`convergence-check-health`, as the health check of a container runs it."""

import asyncio
import os
import socket
import sys
from pathlib import Path
from typing import Any

from tests.certificates import Authority, pair_files
from tests.rpc.bare_server import bare_server

COMMAND = Path(sys.executable).with_name("convergence-check-health")


async def check(*arguments: str, **settings: object) -> tuple[int | None, str]:
    """Its exit status and what it says."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CONVERGENCE_")}
    told = {f"CONVERGENCE_{name.upper()}": str(value) for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        COMMAND, *arguments, env={**kept, **told}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def test_server_that_serves_is_healthy_by_its_own_settings_and_by_its_address() -> None:
    async with bare_server() as server:
        address = f"127.0.0.1:{server.port}"
        assert await check(listen_address=f"0.0.0.0:{server.port}", allow_plaintext="true") == (0, "")
        assert await check(address) == (0, "")


async def test_what_is_not_known_or_not_there_is_not_healthy_and_says_so_in_a_line() -> None:
    async with bare_server() as server:
        address = f"127.0.0.1:{server.port}"
        status, text = await check(address, "--service", "no.such.Service")
        assert status == 1
        assert text.startswith("NOT_FOUND")
    status, text = await check(address)
    assert status == 1
    assert text.startswith("UNAVAILABLE")
    assert len(text.splitlines()) == 1


async def test_server_that_never_answers_is_given_up_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        status, text = await check(f"127.0.0.1:{silent.getsockname()[1]}")
    assert status == 1
    assert "DEADLINE_EXCEEDED" in text or "UNAVAILABLE" in text


async def test_server_with_tls_is_asked_with_tls_under_the_name_that_it_has(tmp_path: Path) -> None:
    files = pair_files(tmp_path, "server", Authority().issue("tenants.internal"))
    tls: dict[str, Any] = {"tls_certificate_file": files.certificate, "tls_key_file": files.key}
    async with bare_server(**tls) as server:
        assert await check(listen_address=f"127.0.0.1:{server.port}", **tls) == (0, "")
        status, _ = await check(f"127.0.0.1:{server.port}")
        assert status == 1


async def test_server_that_asks_for_certificates_is_shown_its_own(tmp_path: Path) -> None:
    authority = Authority()
    files = pair_files(tmp_path, "server", authority.issue("tenants.internal"))
    (tmp_path / "ca.crt").write_bytes(authority.certificate)
    tls: dict[str, Any] = {"tls_certificate_file": files.certificate, "tls_key_file": files.key}
    async with bare_server(**tls, tls_client_ca_file=tmp_path / "ca.crt") as server:
        address = f"127.0.0.1:{server.port}"
        assert await check(listen_address=address, **tls, tls_client_ca_file=tmp_path / "ca.crt") == (0, "")
        status, _ = await check(listen_address=address, **tls)
        assert status == 1


async def test_server_that_keeps_its_certificate_as_a_renewal_does_not_do_is_healthy(tmp_path: Path) -> None:
    files = pair_files(tmp_path, "server", Authority().issue())
    tls: dict[str, Any] = {"tls_certificate_file": files.certificate, "tls_key_file": files.key}
    async with bare_server(**tls) as server:
        files.certificate.write_bytes(Authority("another").issue().certificate)
        assert await check(listen_address=f"127.0.0.1:{server.port}", **tls) == (0, "")


async def test_server_with_tls_that_is_not_there_is_not_healthy_and_says_so_in_a_line(tmp_path: Path) -> None:
    files = pair_files(tmp_path, "server", Authority().issue())
    tls: dict[str, Any] = {"tls_certificate_file": files.certificate, "tls_key_file": files.key}
    async with bare_server(**tls) as server:
        address = f"127.0.0.1:{server.port}"
    status, text = await check(listen_address=address, **tls)
    assert (status, len(text.splitlines())) == (1, 1)
    assert text.startswith("cannot ask")


async def test_settings_that_lack_something_are_named() -> None:
    status, text = await check()
    assert status == 1
    assert "CONVERGENCE_LISTEN_ADDRESS" in text
    status, text = await check("nowhere")
    assert (status, text) == (1, "cannot ask: must be host:port\n")
