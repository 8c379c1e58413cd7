"""Sends telemetry over OTLP, from threads of its own. A receiver that is away costs calls nothing: what does not fit a queue is dropped."""

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, TraceIdRatioBased

from common.channels import DIRECT
from common.secret import read_secret_file
from common.telemetry.export_log import ExportLog
from common.telemetry.settings import TelemetrySettings
from common.telemetry.span_ids import next_span_id
from common.telemetry.strangers import told_for_a_stranger
from common.telemetry.telemetry import SCOPE, Telemetry

FLUSH_SECONDS = 2.0
"""How long the end of a process waits for the receiver. What it has not taken by then is lost."""
_EXPORT_SECONDS = 5.0
"""How long one export may take, its repetitions included: by default the next waits twice as long."""
_DISTRIBUTION = "convergence-server"


@asynccontextmanager
async def exporting(settings: TelemetrySettings, *, service: str) -> AsyncIterator[Telemetry]:
    """See `open_telemetry`. OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME, OTEL_EXPORTER_OTLP_HEADERS, OTEL_EXPORTER_OTLP_COMPRESSION and
    OTEL_BSP_* count, as the SDK reads them."""
    export_log = ExportLog(settings.otlp_endpoint or "")
    with export_log.attached():
        release = version(_DISTRIBUTION)
        resource = _resource(service, release)
        options = _exporter_options(settings)
        ours = TraceIdRatioBased(settings.trace_sample_ratio)
        tracers = TracerProvider(
            resource=resource,
            sampler=ParentBased(ours),
            id_generator=_IdGenerator(),
            shutdown_on_exit=False,
        )
        tracers.add_span_processor(_KeptSpanProcessor(_SpanExporter(export_log, **options), ours))
        interval_milliseconds = settings.metric_interval_seconds * 1000
        reader = PeriodicExportingMetricReader(_MetricExporter(export_log, **options), interval_milliseconds)
        # Exemplars would add to what every call costs, and the log leads from a call to its trace already.
        meters = MeterProvider(
            [reader], resource=resource, exemplar_filter=AlwaysOffExemplarFilter(), shutdown_on_exit=False
        )
        try:
            yield Telemetry(tracers.get_tracer(SCOPE, release), meters.get_meter(SCOPE, release))
        finally:
            await _shut_down(tracers.shutdown, meters.shutdown, within_seconds=FLUSH_SECONDS)


def _resource(service: str, release: str) -> Resource:
    """What all that is sent says of its process. What the environment says of it goes before."""
    ours = {
        "service.namespace": "convergence",
        "service.name": service,
        "service.version": release,
        "service.instance.id": str(uuid.uuid4()),
    }
    return Resource.create(ours).merge(OTELResourceDetector().detect())


def _exporter_options(settings: TelemetrySettings) -> dict[str, Any]:
    return {
        "endpoint": settings.otlp_endpoint,
        "insecure": not settings.otlp_tls,
        "credentials": _credentials(settings) if settings.otlp_tls else None,
        "timeout": _EXPORT_SECONDS,
        "channel_options": () if settings.otlp_tls else (DIRECT,),
    }


def _credentials(settings: TelemetrySettings) -> grpc.ChannelCredentials:
    key_file = settings.otlp_tls_key_file
    return grpc.ssl_channel_credentials(
        root_certificates=_content(settings.otlp_tls_ca_file),
        private_key=read_secret_file(key_file).reveal().encode() if key_file else None,
        certificate_chain=_content(settings.otlp_tls_certificate_file),
    )


def _content(path: Path | None) -> bytes | None:
    return path.read_bytes() if path else None


class _IdGenerator(RandomIdGenerator):
    def generate_span_id(self) -> int:
        return next_span_id() or super().generate_span_id()


class _KeptSpanProcessor(BatchSpanProcessor):
    """Drops what strangers would have kept. Who calls is known only after a span has begun, so it cannot be the sampler's to say."""

    def __init__(self, exporter: OTLPSpanExporter, ours: TraceIdRatioBased) -> None:
        super().__init__(exporter)
        self._ours = ours

    def on_end(self, span: ReadableSpan) -> None:
        if not told_for_a_stranger() or self._keeps(span):
            super().on_end(span)

    def _keeps(self, span: ReadableSpan) -> bool:
        """Whether the trace would be kept, had it begun here."""
        if span.context is None:
            return False
        return self._ours.should_sample(Context(), span.context.trace_id, span.name).decision is not Decision.DROP


class _SpanExporter(OTLPSpanExporter):
    def __init__(self, export_log: ExportLog, **options: Any) -> None:
        super().__init__(**options)
        self._export_log = export_log

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        if result is SpanExportResult.SUCCESS:
            self._export_log.succeeded()
        return result


class _MetricExporter(OTLPMetricExporter):
    def __init__(self, export_log: ExportLog, **options: Any) -> None:
        super().__init__(**options)
        self._export_log = export_log

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **options: Any) -> MetricExportResult:
        result = super().export(metrics_data, timeout_millis, **options)
        if result is MetricExportResult.SUCCESS:
            self._export_log.succeeded()
        return result


async def _shut_down(*endings: Callable[[], object], within_seconds: float) -> None:
    """Have these done, in threads that hold nobody up: after so long they are left to themselves, which the process does not wait for."""
    loop = asyncio.get_running_loop()
    left = len(endings)
    done = asyncio.Event()

    def count() -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    def run(end: Callable[[], object]) -> None:
        end()
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(count)

    for end in endings:
        threading.Thread(target=run, args=[end], daemon=True).start()
    with suppress(TimeoutError):
        async with asyncio.timeout(within_seconds):
            await done.wait()
