"""The configuration that is printed for production: one that Envoy takes, with the addresses that were given."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.methods import methods
from gateway.shapes import shapes
from tests.gateway.configurations import ARGUMENTS, refusal, validated
from tests.gateway.conftest import World
from tests.gateway.fakes import FakeServices
from tests.gateway.rest import running_gateway


def test_envoy_takes_what_is_printed(tmp_path: Path) -> None:
    replicas = ("--tenant-service", "10.0.0.1:50051", "--tenant-service", "[fd00::1]:50051")
    command = [sys.executable, "-m", "gateway", *ARGUMENTS, *replicas]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    config = validated(done.stdout, tmp_path)
    assert "admin" not in config
    assert "access_log" not in done.stdout
    tenants, pipelines = config["static_resources"]["clusters"]
    assert (tenants["type"], pipelines["type"]) == ("STATIC", "STRICT_DNS")
    addresses = [
        endpoint["endpoint"]["address"]["socket_address"]["address"]
        for endpoint in tenants["load_assignment"]["endpoints"][0]["lb_endpoints"]
    ]
    assert addresses == ["10.0.0.1", "fd00::1"]


@pytest.mark.parametrize("address", ["tenants.internal", "tenants.internal:", ":50051", "a:b", "a:70000", "a:-1"])
def test_what_is_no_address_is_refused(capsys: pytest.CaptureFixture[str], address: str) -> None:
    assert f"{address!r} is no host:port" in refusal(capsys, *ARGUMENTS, "--tenant-service", address)


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
