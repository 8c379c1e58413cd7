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


def carried() -> dict[str, str]:
    """The current span, as it crosses to another process; empty where there is none."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    return carrier


def carried_ids() -> dict[str, str]:
    """The same without `tracestate`, which is text of a caller's: for what is kept."""
    return {name: value for name, value in carried().items() if name == _IDS}


def context_of(carrier: Mapping[str, str]) -> Context:
    """The context in which spans go on with what was carried here. Malformed or missing, they begin a trace of their own."""
    return _W3C.extract(carrier, Context())


def current_trace_id() -> str | None:
    """The trace of the current span, as 32 hex digits; None where there is no span."""
    return _trace_id(trace.get_current_span())


def trace_id_in(carrier: Mapping[str, str]) -> str | None:
    """The trace that was carried here; None where there is none, or it is malformed."""
    return _trace_id(trace.get_current_span(context_of(carrier))) if carrier else None


def _trace_id(span: Span) -> str | None:
    context = span.get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None
