"""How a stack starts and ends. Every test is a life of its own, on one state folder, so that the sample is loaded once."""

import asyncio
import contextlib
import re
import signal
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import pytest

from common.secret import Secret
from convergence.pipeline.v1 import run_pb2
from local_stack.api_client import ApiClient
from local_stack.main_job import TABLE, TEMPLATE
from local_stack.sample_catalog import PROFILES
from tests.e2e.stack import PARTS, Up, is_alive
from tests.waiting import eventually


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack") / ".local"


def assert_nothing_is_left(up: Up, pids: dict[str, int]) -> None:
    assert [name for name, pid in pids.items() if is_alive(pid)] == []
    assert list((up.state / "run").glob("*.pid")) == []


def test_sigint_ends_it_with_status_0_also_where_the_parent_ignored_it(state: Path) -> None:
    with Up(state, shell_prefix="trap '' INT") as up:
        up.until_ready()
        pids = up.pids()
        assert up.end(signal.SIGINT) == 0, up.output
        assert_nothing_is_left(up, pids)


def test_sigterm_ends_it_with_status_0_and_a_second_start_keeps_the_admin_key(state: Path) -> None:
    with Up(state) as up:
        up.until_ready()
        pids, key = up.pids(), (state / "admin_api_key").read_text()
        assert up.end(signal.SIGTERM) == 0, up.output
        assert_nothing_is_left(up, pids)
    with Up(state) as up:
        up.until_said("temporal .* is ready")
        assert (state / "admin_api_key").read_text() == key
        assert up.end(signal.SIGTERM) == 0, up.output  # also in the middle of its start
    assert list((state / "run").glob("*.pid")) == []


def test_killed_supervisor_takes_every_part_along_and_the_next_start_cleans_up_after_it(state: Path) -> None:
    with Up(state) as up:
        up.until_ready()
        pids = up.pids()
        up.process.kill()
        eventually(lambda: not any(map(is_alive, pids.values())), 5.0, "all parts are gone")
        up.wait()
    with Up(state) as up:
        for name in (*PARTS, "supervisor"):
            up.until_said(rf"removed the stale pid file \S+/{name}\.pid")
        up.until_ready()
        assert not set(up.pids().values()) & set(pids.values())


def test_port_in_use_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with Up(tmp_path / ".local", "--tenant-port=0", f"--pipeline-port={port}", "--gateway-port=0") as up:
            assert up.wait() == 1
            assert f"port {port} (pipeline_service) is in use on 127.0.0.1" in up.output
    assert list((tmp_path / ".local" / "log").iterdir()) == []


def test_part_that_cannot_start_ends_the_stack_with_a_clear_message(state: Path) -> None:
    with Up(state, environ={"CONVERGENCE_SHUTDOWN_GRACE_SECONDS": "rather long"}) as up:
        assert up.wait() == 1
        assert re.search(
            r"local_stack: (tenant|pipeline)_service cannot start: it exited with status 1; see \S+\.log", up.output
        )
        assert "CONVERGENCE_SHUTDOWN_GRACE_SECONDS" in up.output
    assert list((state / "run").glob("*.pid")) == []


def test_bad_settings_are_named(tmp_path: Path) -> None:
    with Up(tmp_path, "--tenant-port=70000", "--start-timeout-seconds=soon") as up:
        assert up.wait() == 1
        assert "tenant_port" in up.output
        assert "start_timeout_seconds" in up.output
    assert list(tmp_path.iterdir()) == []


async def test_what_was_acknowledged_survives_a_killed_supervisor(state: Path) -> None:
    tenant, day = PROFILES[0].tenant_id, "2025-10-03"
    with Up(state) as up:
        async with clients(up) as connect:
            admin = connect((state / "admin_api_key").read_text())
            key = (await admin.onboard(tenant)).api_key
            run_id = await connect(key).run_template(tenant, TEMPLATE, day)
            run = [run async for run in connect(key).watch(run_id)][-1]
            rows = await connect(key).read_table(tenant, TABLE, day)
        up.process.kill()
        up.wait()
    with Up(state) as up:
        async with clients(up) as connect:
            again = await connect(key).get_run(run_id)
            assert again.status == run.status == run_pb2.Run.COMPLETE
            assert len(rows) > 0
            assert await connect(key).read_table(tenant, TABLE, day) == rows


@contextlib.asynccontextmanager
async def clients(up: Up) -> AsyncIterator[Callable[[str], ApiClient]]:
    addresses = await asyncio.to_thread(up.until_ready)
    async with (
        grpc.aio.insecure_channel(addresses["tenant_service"]) as tenants,
        grpc.aio.insecure_channel(addresses["pipeline_service"]) as pipelines,
    ):
        yield lambda key: ApiClient(tenants, pipelines, Secret(key))
