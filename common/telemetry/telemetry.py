"""Where the parts of a service tell what they do. The API of OpenTelemetry alone: what becomes of it is for `open_telemetry`."""

from collections.abc import Mapping
from dataclasses import dataclass

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import Meter
from opentelemetry.trace import Span, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

SCOPE = "convergence"
"""The name of our instruments' scope."""
TENANT_ID = "convergence.tenant_id"
RUN_ID = "convergence.pipeline_logging_id"
PIPELINE_ID = "convergence.pipeline_id"
"""Attributes of spans. No metric has them: there are as many values as tenants and runs."""
_W3C = TraceContextTextMapPropagator()
"""What crosses processes: `traceparent` and `tracestate`, and no baggage, which may be whatever a caller thinks of."""
_IDS = "traceparent"


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The one tracer and meter of a process. They belong to it and are not the global ones, by which libraries would tell things, too."""

    tracer: Tracer
    meter: Meter


def inject_trace() -> dict[str, str]:
    """The headers that take the current span to another process; empty where there is no span."""
    headers: dict[str, str] = {}
    _W3C.inject(headers)
    return headers


def inject_traceparent() -> dict[str, str]:
    """The same without `tracestate`, which is text of a caller's: for what is kept."""
    return {name: value for name, value in inject_trace().items() if name == _IDS}


def extract_trace(headers: Mapping[str, str]) -> Context:
    """The context in which spans go on with the trace of these headers. Malformed or missing, they begin one of their own."""
    return _W3C.extract(headers, Context())


def current_trace_id() -> str | None:
    """The trace of the current span, as 32 hex digits; None where there is no span."""
    return _trace_id(trace.get_current_span())


def trace_id_in(headers: Mapping[str, str]) -> str | None:
    """The trace of these headers; None where there is none, or it is malformed."""
    return _trace_id(trace.get_current_span(extract_trace(headers))) if headers else None


def _trace_id(span: Span) -> str | None:
    context = span.get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None
