"""What the log says of telemetry that is not sent: in our words, seldom, and nothing of what the SDK says, which repeats secrets."""

import logging
import threading
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SpanExportResult
from structlog.testing import capture_logs

from tests.otlp_receiver import Receiver, receiver
from tests.rpc.test_call_telemetry import LATE_SECONDS, telemetry_to
from tests.waiting import until

Logs = list[MutableMapping[str, Any]]


@pytest.fixture
def logs() -> Iterator[Logs]:
    with capture_logs() as captured:
        yield captured


@pytest.fixture
def otlp() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


@pytest.fixture(autouse=True)
def _everything_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK does not repeat what it has said within 20 seconds, be it in an earlier test."""
    monkeypatch.setattr(logging.getLogger("opentelemetry.sdk._shared_internal"), "filters", [])


async def test_malformed_headers_are_told_once_without_what_they_say(
    logs: Logs, otlp: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-otlp-key:hunter2secret,another:hunter3secret,good=one")
    async with telemetry_to(otlp.address) as telemetry:
        telemetry.tracer.start_span("told").end()
    assert [(line["event"], line["setting"]) for line in logs] == [
        ("headers for telemetry are malformed and left out", "OTEL_EXPORTER_OTLP_HEADERS")
    ]
    assert "secret" not in repr(logs) + caplog.text
    assert len(otlp.spans) == 1


async def test_a_full_queue_is_told_once_and_in_our_words(
    logs: Logs, otlp: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "4")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
    goes_on = threading.Event()

    def wait(*_: object) -> SpanExportResult:
        goes_on.wait(LATE_SECONDS)
        return SpanExportResult.SUCCESS

    monkeypatch.setattr(OTLPSpanExporter, "export", wait)
    async with telemetry_to(otlp.address) as telemetry:
        for _ in range(100):
            telemetry.tracer.start_span("told").end()
        assert [line["endpoint"] for line in logs if line["event"].startswith("spans are dropped")] == [otlp.address]
        goes_on.set()
    assert "Queue full" not in caplog.text


async def test_what_an_exporter_raises_is_told_once_by_its_type_alone(
    logs: Logs, otlp: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("hunter2secret")

    monkeypatch.setattr(OTLPSpanExporter, "export", fail)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    async with telemetry_to(otlp.address) as telemetry:
        telemetry.tracer.start_span("told").end()
        await until(lambda: logs, LATE_SECONDS)
    assert [(line["event"], line["status"]) for line in logs] == [("telemetry is not sent", "ZeroDivisionError")]
    assert "secret" not in repr(logs) + caplog.text
