"""A span and a measurement for every call, by the semantic conventions of OpenTelemetry for gRPC
(https://opentelemetry.io/docs/specs/semconv/rpc/grpc/). Never a payload, a key or a message of an error."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from opentelemetry import context as otel
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

from common.rpc.access import OPEN_SERVICES, service_of
from common.rpc.around import Around, Context
from common.rpc.call_end import CallEnd, noted_end
from common.rpc.caller import caller_is_unknown, current_caller
from common.rpc.metadata import trace_headers
from common.telemetry.strangers import told_for_a_caller
from common.telemetry.telemetry import TENANT_ID, Telemetry, extract_trace

UNKNOWN_METHOD = "_OTHER"
"""Stands for the names of methods that there are not, which are whatever callers think of."""
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Bounds of the histogram, as the conventions advise."""
_OK = grpc.StatusCode.OK
_FAULTS = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""What is a fault of the server: other statuses are for the caller to mend, and no error of the span."""


def traced_and_measured(telemetry: Telemetry) -> Around:
    """An interceptor that goes on with the caller's trace, or begins one. Health and reflection are not told of."""
    tracer = telemetry.tracer
    durations = telemetry.meter.create_histogram(
        "rpc.server.call.duration", "s", "How long calls took", explicit_bucket_boundaries_advisory=SECONDS
    )
    refusals = telemetry.meter.create_counter(
        "convergence.calls.refused", "{call}", "Calls that were refused, by the reason that the caller was told"
    )

    @asynccontextmanager
    async def around(method: str, context: Context) -> AsyncIterator[None]:
        if service_of(method) in OPEN_SERVICES:
            yield
            return
        name = method.removeprefix("/")
        attributes = {"rpc.system.name": "grpc", "rpc.method": name}
        caller_trace = extract_trace(trace_headers(context))
        span = tracer.start_span("grpc" if name == UNKNOWN_METHOD else name, caller_trace, SpanKind.SERVER, attributes)
        # For the rest of the call's task, which is its own: a stream that is cut off ends in another context, where nothing can be undone.
        otel.attach(set_span_in_context(span, caller_trace))
        told_for_a_caller(caller_is_unknown)
        start = time.perf_counter()
        end = CallEnd()
        try:
            with noted_end(context) as end:
                yield
        finally:
            status = end.status.name
            if end.reason is not None:
                limit = {} if end.limit is None else {"convergence.limit": end.limit}
                refusals.add(1, {"rpc.method": name, "convergence.reason": end.reason, **limit})
            attributes["rpc.response.status_code"] = status
            if end.status is not _OK:
                attributes["error.type"] = status
            durations.record(time.perf_counter() - start, attributes)
            if span.is_recording():
                span.set_attributes(_outcome(end))
                if end.status in _FAULTS:
                    span.set_status(Status(StatusCode.ERROR))
            span.end()

    return around


def _outcome(end: CallEnd) -> dict[str, str]:
    attributes = {"rpc.response.status_code": end.status.name}
    if end.status is not _OK:
        attributes["error.type"] = end.reason or end.status.name
    try:
        caller = current_caller()
    except LookupError:
        return attributes
    if caller.tenant_id is not None:
        attributes[TENANT_ID] = caller.tenant_id
    return attributes


def of_unknown_methods(around: Around) -> Around:
    """The same for calls of methods that there are not, under one name for all."""
    return lambda _, context: around(UNKNOWN_METHOD, context)
