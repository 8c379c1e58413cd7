"""How a server may listen: on loopback, with TLS, or in plaintext where that was asked for."""

from typing import Any

import pytest

from common.settings import load
from pipeline_service.settings import PipelineServiceSettings
from tenant_service.settings import TenantServiceSettings

NEEDED = {"CONVERGENCE_PROJECT": "p", "GCP_KMS_KEY_NAME": "projects/p/locations/l/keyRings/r/cryptoKeys/k"}
PAIR = {"TLS_CERTIFICATE_FILE": "server.crt", "TLS_KEY_FILE": "server.key"}
FAR = "192.0.2.1:50051"


def problems(monkeypatch: pytest.MonkeyPatch, settings: Any, **variables: str) -> str:
    for name, value in {**NEEDED, **{f"CONVERGENCE_{name}": value for name, value in variables.items()}}.items():
        monkeypatch.setenv(name, value)
    try:
        load(settings, _env_file=None)
    except SystemExit as refused:
        return str(refused)
    return ""


@pytest.mark.parametrize("settings", [TenantServiceSettings, PipelineServiceSettings])
def test_plaintext_beyond_loopback_is_refused_unless_asked_for(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    refused = problems(monkeypatch, settings, LISTEN_ADDRESS=FAR)
    assert "CONVERGENCE_TLS_KEY_FILE: CONVERGENCE_LISTEN_ADDRESS is beyond the loopback address" in refused
    assert "CONVERGENCE_ALLOW_PLAINTEXT=true" in refused
    assert not problems(monkeypatch, settings, LISTEN_ADDRESS=FAR, ALLOW_PLAINTEXT="true")


@pytest.mark.parametrize("settings", [TenantServiceSettings, PipelineServiceSettings])
def test_a_server_with_tls_may_listen_anywhere(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    assert not problems(monkeypatch, settings, LISTEN_ADDRESS=FAR, **PAIR, TLS_CLIENT_CA_FILE="ca.crt")


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"TLS_CERTIFICATE_FILE": "a"}, "CONVERGENCE_TLS_KEY_FILE: belongs to CONVERGENCE_TLS_CERTIFICATE_FILE"),
        ({"TLS_KEY_FILE": "a"}, "CONVERGENCE_TLS_KEY_FILE: belongs to CONVERGENCE_TLS_CERTIFICATE_FILE"),
        ({"TLS_CLIENT_CA_FILE": "a"}, "CONVERGENCE_TLS_CLIENT_CA_FILE: needs CONVERGENCE_TLS_CERTIFICATE_FILE"),
    ],
)
def test_half_of_what_tls_needs_is_refused(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], problem: str
) -> None:
    assert problem in problems(monkeypatch, TenantServiceSettings, **given)


def test_pipeline_service_beyond_loopback_needs_tls_too(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = problems(monkeypatch, TenantServiceSettings, PIPELINE_SERVICE_ADDRESS=FAR)
    assert "CONVERGENCE_PIPELINE_SERVICE_TLS: CONVERGENCE_PIPELINE_SERVICE_ADDRESS is beyond" in refused
    assert not problems(monkeypatch, TenantServiceSettings, PIPELINE_SERVICE_ADDRESS=FAR, PIPELINE_SERVICE_TLS="true")


def test_tls_to_pipeline_service_is_set_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = problems(
        monkeypatch, TenantServiceSettings, PIPELINE_SERVICE_TLS_CA_FILE="a", PIPELINE_SERVICE_TLS_KEY_FILE="b"
    )
    assert "CONVERGENCE_PIPELINE_SERVICE_TLS_CA_FILE: needs CONVERGENCE_PIPELINE_SERVICE_TLS=true" in refused
    assert "CONVERGENCE_PIPELINE_SERVICE_TLS_KEY_FILE: belongs to" in refused
