"""A stack that runs: what it promises about its processes. One life for all tests of this module, whatever their order."""

import asyncio
import json
import os
import re
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from common.secret import Secret
from convergence.pipeline.v1 import run_pb2
from local_stack.api_client import CHANNEL_OPTIONS, ApiClient
from local_stack.parts import SERVICES
from tests.e2e.stack import PARTS, Up, is_alive, is_open, is_serving
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with Up(tmp_path_factory.mktemp("stack") / ".local") as up:
        up.until_ready()
        yield up


def test_ready_means_that_both_services_answer_serving_and_the_gateway_finds_them(up: Up) -> None:
    addresses = up.until_ready()
    assert set(addresses) == {"tenant_service", "pipeline_service", "gateway"}
    assert all(is_serving(addresses[name]) for name in SERVICES)
    assert is_open(addresses["gateway"])


def test_pid_files_name_the_servers_themselves(up: Up) -> None:
    commands = {
        name: Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode() for name, pid in up.pids().items()
    }
    for name in ("tenant_service", "pipeline_service"):
        assert f"-m {name}" in commands[name]
    for name in ("warehouse", "kms"):
        assert f"-m local_stack.{name}" in commands[name]
    assert "temporal server start-dev" in commands["temporal"]
    for name, program in {"temporal": "temporal", "gateway": "envoy"}.items():
        assert Path(f"/proc/{up.pid(name)}/exe").readlink().name == program


def test_state_is_for_one_user_and_the_admin_key_has_its_shape(up: Up) -> None:
    assert stat.S_IMODE(up.state.stat().st_mode) == 0o700
    key = up.state / "admin_api_key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert re.fullmatch("convergence_admin_[A-Za-z0-9]{32}", key.read_text())
    readable = [path for path in up.state.rglob("*") if path.is_file() and path.stat().st_mode & 0o077]
    assert [path for path in readable if path.parent == up.state] == []


def test_admin_key_is_in_no_log_and_no_process_s_environment(up: Up) -> None:
    key = (up.state / "admin_api_key").read_bytes()
    for path in (up.state / "log").iterdir():
        assert key not in path.read_bytes()
    for pid in up.pids().values():
        assert key not in Path(f"/proc/{pid}/environ").read_bytes()


async def _exchange_rates(tenant_address: str, pipeline_address: str, admin_key: str) -> list[dict[str, Any]]:
    """What a new tenant has in its table once it has run the example that loads files."""
    async with (
        grpc.aio.insecure_channel(tenant_address, options=CHANNEL_OPTIONS) as tenants,
        grpc.aio.insecure_channel(pipeline_address, options=CHANNEL_OPTIONS) as pipelines,
    ):
        answer = await ApiClient(tenants, pipelines, Secret(admin_key)).onboard("loads_files")
        client = ApiClient(tenants, pipelines, Secret(answer.api_key))
        run_id = await client.run_template("loads_files", "gcp/example/exchange-rates", "")
        runs = [run async for run in client.watch(run_id)]
        assert runs[-1].status == run_pb2.Run.COMPLETE, runs[-1]
        return list(await client.read_table("loads_files", "exchange_rates", ""))


def test_the_example_that_loads_files_finds_what_the_stack_has_put_there(up: Up) -> None:
    addresses = up.until_ready()
    admin_key = (up.state / "admin_api_key").read_text().strip()
    rows = asyncio.run(_exchange_rates(addresses["tenant_service"], addresses["pipeline_service"], admin_key))
    assert len(rows) == 4 * 30
    assert {"day": "2025-11-01", "currency": "EUR", "usd": "1.16"} in rows


@pytest.mark.parametrize("name", PARTS)
def test_killed_part_is_restarted_within_two_seconds_and_the_services_serve_again(up: Up, name: str) -> None:
    addresses, before = up.until_ready(), up.pid(name)
    os.kill(before, signal.SIGKILL)
    eventually(lambda: up.pid(name) != before and is_alive(up.pid(name)), 2.0, f"{name} has a new process")
    up.until_said(rf"supervisor +\| {name} \(pid {before}\) was killed by SIGKILL: starting it again")
    up.until_said(rf"supervisor +\| {name} \(pid {up.pid(name)}\) is back")
    eventually(lambda: all(is_serving(addresses[name]) for name in SERVICES), 10.0, "both services serve again")
    eventually(lambda: is_open(addresses["gateway"]), 10.0, "the gateway finds both again")


def test_second_stack_on_the_same_folder_is_refused_at_once_and_harms_nothing(up: Up) -> None:
    before = up.pids()
    with Up(up.state) as second:
        assert second.wait() != 0
        assert f"a stack already runs on {up.state} (pid {up.process.pid})" in second.output
    assert up.pids() == before
    assert up.pid("supervisor") == up.process.pid


def test_curl_commands_of_the_documents_work_as_they_stand(up: Up) -> None:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl on this machine: install it")
    address = up.until_ready()["gateway"]
    environ = {"ADMIN": (up.state / "admin_api_key").read_text(), "PATH": os.environ["PATH"]}

    def curl(command: str) -> list[dict[str, Any]]:
        command = command.replace("localhost:8080", address).replace("curl ", "curl --fail-with-body -sS -m 60 ", 1)
        done = subprocess.run(["bash", "-c", command], env=environ, capture_output=True, text=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def commands_of(document: str) -> list[str]:
        return [line.strip() for line in (ROOT / document).read_text().splitlines() if "  curl " in line]

    onboard, run, watch, read = commands_of("README.md")
    assert commands_of("docs/rest.md") == [onboard, run]
    (onboarded,) = curl(onboard)
    assert onboarded["message"] == "Customer acmeinc_23xv2 onboarded successfully"
    assert (onboarded["dryrun_status"], onboarded["dataset_created"]) == ("SUCCESS", True)
    environ["KEY"] = onboarded["api_key"]
    (started,) = curl(run)
    environ["RUN"] = started.pop("pipeline_logging_id")
    assert started == {
        "pipeline_id": "acmeinc_23xv2-gcp-cost-bill-sample-export-template",
        "status": "PENDING",
        "message": "Templated pipeline triggered successfully",
        "already_running": False,
    }
    assert curl(watch)[-1]["status"] == "COMPLETE"
    rows = curl(read)
    assert rows[-1]["complete"] is True
    assert sum(len(message["rows"]) for message in rows) > 0


def test_log_is_readable_and_every_part_s_output_is_in_a_file_of_its_own(up: Up) -> None:
    assert {f"{name}.log" for name in PARTS} <= {path.name for path in (up.state / "log").iterdir()}
    assert all(re.match(r"(\w+ +\| )|(ready )", line) for line in up.output.splitlines()), up.output
