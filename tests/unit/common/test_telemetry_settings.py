"""Where telemetry goes: nowhere unless asked for, and beyond this machine with TLS."""

import subprocess
import sys
from typing import Any

import pytest

from common.settings import load
from common.telemetry.settings import TelemetrySettings


def problems(**options: Any) -> str:
    try:
        load(TelemetrySettings, _env_file=None, **options)
    except SystemExit as end:
        return str(end)
    return ""


def test_nothing_is_sent_unless_a_receiver_is_named() -> None:
    assert TelemetrySettings(_env_file=None).otlp_endpoint is None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"otlp_endpoint": "127.0.0.1:4317"}, ""),
        ({"otlp_endpoint": "collector:4317"}, "CONVERGENCE_OTLP_TLS: CONVERGENCE_OTLP_ENDPOINT is beyond the loopback"),
        ({"otlp_endpoint": "collector:4317", "allow_plaintext": True}, ""),
        ({"otlp_endpoint": "collector:4317", "otlp_tls": True}, ""),
        ({"otlp_endpoint": "collector"}, "CONVERGENCE_OTLP_ENDPOINT: must be host:port"),
        ({"otlp_tls_ca_file": "ca.pem"}, "CONVERGENCE_OTLP_TLS_CA_FILE: needs CONVERGENCE_OTLP_TLS=true"),
        ({"otlp_tls": True, "otlp_tls_key_file": "key.pem"}, "set both or neither"),
        ({"trace_sample_ratio": 1.1}, "CONVERGENCE_TRACE_SAMPLE_RATIO"),
    ],
)
def test_settings_that_would_tell_others_are_refused(options: dict[str, Any], told: str) -> None:
    found = problems(**options)
    assert told in found
    assert bool(found) == bool(told)


def test_services_that_tell_nothing_load_no_sdk() -> None:
    code = (
        "import sys, pipeline_service.bootstrap, tenant_service.bootstrap\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert loaded.stdout == "[]\n"
