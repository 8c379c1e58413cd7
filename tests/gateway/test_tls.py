"""TLS before and behind the gateway, each end with certificates of authorities of its own."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from convergence.tenant.v1.tenant_pb2 import Tenant
from convergence.tenant.v1.tenant_service_pb2 import GetTenantRequest
from convergence.tenant.v1.tenant_service_pb2_grpc import TenantServiceStub
from gateway.tls import CallersTls, ServicesTls
from tests.certificates import Authority, pair_files
from tests.gateway.configurations import ARGUMENTS, configuration, refusal, validated
from tests.gateway.fakes import FakeServices
from tests.gateway.rest import Rest, running_gateway

EDGE, CALLERS, SERVICES, GATEWAYS, STRANGER = map(Authority, ("edge", "callers", "services", "gateways", "stranger"))
PATH = "/api/v1/tenants/acme"
CALLERS_HALF = "--tls-certificate and --tls-key go together, and --tls-client-ca needs both"
SERVICES_HALF = "--services-certificate, --services-key and --services-name need --services-ca"


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


def test_a_configuration_with_tls_is_what_envoy_takes(tmp_path: Path) -> None:
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
    text = yaml.safe_dump(configuration(*ARGUMENTS, "--tenant-service", "10.0.0.1:50051", *options))
    config = validated(text, tmp_path)
    tenants, pipelines = (each["transport_socket"]["typed_config"] for each in config["static_resources"]["clusters"])
    assert "sni" not in tenants, "which has no name"
    assert pipelines["sni"] == "pipelines.internal"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--tls-certificate", "a"), CALLERS_HALF),
        (("--tls-key", "a"), CALLERS_HALF),
        (("--tls-client-ca", "a"), CALLERS_HALF),
        (("--services-key", "a"), SERVICES_HALF),
        (("--services-name", "a"), SERVICES_HALF),
        (("--services-ca", "a", "--services-key", "b"), "name both or neither"),
    ],
)
def test_half_of_what_tls_needs_is_refused(
    capsys: pytest.CaptureFixture[str], options: tuple[str, ...], sentence: str
) -> None:
    assert sentence in refusal(capsys, *ARGUMENTS, "--tenant-service", "a:1", *options)
