"""What docker-compose.yml promises, read from it."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from common.rpc.run_service import CLOSING_SECONDS
from gateway.config import gateway_config
from local_stack.parts import MATCHING
from pipeline_service.settings import PipelineServiceSettings
from tenant_service.settings import TenantServiceSettings
from tests.containers.compose import FILE, LOCAL, replicas, target, volumes
from tests.containers.dockerfile import stages
from tools.operations import SERVICES, variable

STAND_INS = {"warehouse", "kms", "sample-data", "first-start"}
OURS = [name for name in LOCAL.services if name.endswith("-service")]
GCP = LOCAL.started("gcp-gateway")
ALL = sorted(LOCAL.services)


def service(name: str) -> dict[str, Any]:
    return LOCAL.services[name]


def seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+)s", text)
    assert match, text
    return float(match[1])


def test_file_is_valid_by_the_compose_schema() -> None:
    command = [
        str(Path(sys.executable).with_name("check-jsonschema")),
        "--builtin-schema",
        "vendor.compose-spec",
        str(FILE),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_up_starts_the_whole_local_system_and_nothing_of_the_other() -> None:
    started = LOCAL.started()
    assert {*STAND_INS, "temporal", "tenant-service", "pipeline-service", "gateway"} == set(started)
    assert not [name for name in started if name.startswith("gcp")]


def test_gcp_gateway_starts_both_services_and_the_engine_and_no_stand_in_for_google() -> None:
    assert set(GCP) == {"gcp-temporal", "gcp-tenant-service", "gcp-pipeline-service", "gcp-gateway"}
    assert set(LOCAL.started()) | set(GCP) == set(ALL)
    for name in GCP:
        assert service(name)["profiles"] == ["gcp"]
        assert service(name)["networks"] == ["gcp"]
        told = LOCAL.environment(name)
        assert not {"CONVERGENCE_WAREHOUSE", "CONVERGENCE_KMS_ENDPOINT", "CONVERGENCE_BIGQUERY_ENDPOINT"} & told.keys()


def test_both_systems_share_no_volume_and_no_port() -> None:
    local, gcp = (
        [each for name in names for each in (*service(name).get("ports", ()), *(v[0] for v in volumes(service(name))))]
        for names in (LOCAL.started(), GCP)
    )
    assert local
    assert gcp
    assert not set(local) & set(gcp)


@pytest.mark.parametrize("name", ALL)
def test_container_is_hardened(name: str) -> None:
    told = service(name)
    assert told["read_only"] is True
    assert told["tmpfs"] == ["/tmp"]
    assert told["cap_drop"] == ["ALL"]
    assert told["security_opt"] == ["no-new-privileges:true"]
    assert told["init"] is True
    assert told["user"] == "10001:10001"
    assert re.fullmatch(r"\d+[MG]", told["deploy"]["resources"]["limits"]["memory"])
    assert not {"privileged", "cap_add", "devices", "pid", "ipc"} & told.keys()
    assert stages()[target(told)].last("USER") == "10001:10001"


def test_containers_have_as_much_memory_as_is_documented_and_the_sample_room_beyond_what_it_takes() -> None:
    text = (Path(FILE).parent / "docs" / "containers.md").read_text()
    documented: dict[str, str] = {}
    for names, limits in re.findall(r"(?m)^\| (`[^|]+`) \|[^|]+\|([^|]+)\|$", text):
        found, sizes = re.findall(r"`([a-z-]+)`", names), re.findall(r"(\d+) ([MG])B", limits)
        documented |= zip(found, ("".join(size) for size in (sizes * len(found))[: len(found)]), strict=True)
    assert documented == {name: service(name)["deploy"]["resources"]["limits"]["memory"] for name in LOCAL.started()}
    assert documented["sample-data"] == "768M", "409 MB were seen"


@pytest.mark.parametrize("name", ALL)
def test_server_has_a_health_check_and_comes_back_and_what_works_once_does_neither(name: str) -> None:
    told = service(name)
    if name in {"first-start", "sample-data"}:
        assert told["restart"] == "no"
        assert "healthcheck" not in told
    else:
        assert told["restart"] == "unless-stopped"
        assert told["healthcheck"]["test"][0] == "CMD"
        assert 2 < seconds(told["healthcheck"]["timeout"]) <= 5


def test_container_waits_for_all_that_it_needs_and_for_nothing_else() -> None:
    assert {name: set(service(name).get("depends_on", ())) for name in ALL} == {
        "first-start": set(),
        "warehouse": {"first-start"},
        "kms": {"first-start"},
        "sample-data": {"warehouse"},
        "temporal": set(),
        "tenant-service": {"warehouse", "kms"},
        "pipeline-service": {"warehouse", "kms", "temporal"},
        "gateway": {"sample-data", "tenant-service", "pipeline-service"},
        "gcp-temporal": set(),
        "gcp-tenant-service": set(),
        "gcp-pipeline-service": {"gcp-temporal"},
        "gcp-gateway": {"gcp-tenant-service", "gcp-pipeline-service"},
    }


@pytest.mark.parametrize("name", ALL)
def test_container_waits_for_what_it_needs_until_that_serves_or_has_ended_well(name: str) -> None:
    for needed, how in service(name).get("depends_on", {}).items():
        condition = "service_healthy" if "healthcheck" in service(needed) else "service_completed_successfully"
        assert how == {"condition": condition}


@pytest.mark.parametrize("name", ALL)
def test_container_reaches_what_it_is_told_of_at_the_port_where_that_listens(name: str) -> None:
    told = [*LOCAL.environment(name).values(), *service(name)["command"]]
    called = [match for text in told for match in re.findall(r"(?:^|=)([a-z][a-z-]+):(\d+)$", text)]
    for host, port in called:
        assert host in LOCAL.services
        assert port == port_of(host)
        assert service(host).get("networks") == service(name).get("networks")
    for text in [*service(name).get("healthcheck", {}).get("test", ()), *service(name).get("ports", ())]:
        if match := re.search(r":(\d+)$", text):
            assert match[1] == port_of(name)


def port_of(name: str) -> str:
    told = [LOCAL.environment(name).get("CONVERGENCE_LISTEN_ADDRESS", ""), *service(name)["command"]]
    listens = re.compile(r"(?:(?:--listen=)?0\.0\.0\.0:|--port=)(\d+)")
    (port,) = {match[1] for text in told if (match := listens.fullmatch(text))}
    return port


def test_only_gateways_are_published_and_only_on_the_loopback_address() -> None:
    published = {name: service(name)["ports"] for name in ALL if "ports" in service(name)}
    assert published == {"gateway": ["127.0.0.1:8080:8080"], "gcp-gateway": ["127.0.0.1:8081:8080"]}


@pytest.mark.parametrize("name", OURS)
def test_a_service_has_longer_to_end_than_it_takes(name: str) -> None:
    settings = TenantServiceSettings if "tenant" in name else PipelineServiceSettings
    fields = settings.model_fields
    takes = fields["shutdown_grace_seconds"].default + fields["shutdown_delay_seconds"].default + CLOSING_SECONDS
    assert seconds(service(name)["stop_grace_period"]) > takes


@pytest.mark.parametrize("name", OURS)
def test_a_service_is_told_only_what_it_reads(name: str) -> None:
    settings = SERVICES["TenantService" if "tenant" in name else "PipelineService"]
    known = {variable(settings, field) for field in settings.model_fields} | {"GOOGLE_APPLICATION_CREDENTIALS"}
    assert LOCAL.environment(name).keys() <= known


@pytest.mark.parametrize("name", ["temporal", "gcp-temporal"])
def test_engine_serves_tenants_in_turn(name: str) -> None:
    assert {f"--dynamic-config-value={value}" for value in MATCHING} <= set(service(name)["command"])


@pytest.mark.parametrize("prefix", ["", "gcp-"])
def test_every_replica_behind_a_name_is_called(prefix: str) -> None:
    told = dict(text.split("=") for text in service(f"{prefix}gateway")["command"] if "=" in text)
    names = {server: [told[f"--{server.replace('_', '-')}"]] for server in ("tenant_service", "pipeline_service")}
    config = gateway_config(told["--listen"], names)
    for cluster in config["static_resources"]["clusters"]:
        assert cluster["type"] == "STRICT_DNS"
    assert replicas(service(f"{prefix}pipeline-service")) == 2
    assert "ports" not in service(f"{prefix}pipeline-service")


def test_no_part_of_the_local_system_but_the_first_start_sees_the_operators_key() -> None:
    assert [name for name in ALL if "admin" in {volume for volume, _, _ in volumes(service(name))}] == ["first-start"]


@pytest.mark.parametrize("name", ALL)
def test_only_whoever_keeps_data_may_write_where_it_lies(name: str) -> None:
    written = {volume for volume, _, writable in volumes(service(name)) if writable}
    assert written == {
        "first-start": {"admin", "shared", "load"},
        "warehouse": {"warehouse"},
        "kms": {"kms"},
        "temporal": {"temporal"},
        "sample-data": {"load"},
        "gcp-temporal": {"gcp-temporal"},
    }.get(name, set())


def test_every_folder_of_a_volume_is_in_the_image_and_belongs_to_its_user() -> None:
    made = next(command for command in stages()["local"].runs if command.startswith("install -d"))
    assert " -o 10001 -g 10001 -m 0700 " in made
    folders = {folder for name in ALL for _, folder, _ in volumes(service(name))}
    assert folders == {word for word in made.split() if word.startswith("/")}
    assert {volume for name in ALL for volume, _, _ in volumes(service(name))} == set(LOCAL.document["volumes"])


def test_no_secret_and_no_registry_stands_in_the_file() -> None:
    text = json.dumps(LOCAL.document)
    assert not re.search(r"convergence_admin_|[0-9a-f]{32}|-----BEGIN|https?:", text)
    assert {told["image"] for told in LOCAL.services.values()} == {"convergence-local", "convergence-runtime"}
    for name, value in ((key, value) for each in ALL for key, value in LOCAL.environment(each).items()):
        if re.search(r"TOKEN|KEY_HASHES|CREDENTIALS", name):
            assert value == "" or value.startswith("/"), name
