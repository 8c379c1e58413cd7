"""A span and a measurement for every call, by the semantic conventions of OpenTelemetry for gRPC
(https://opentelemetry.io/docs/specs/semconv/rpc/grpc/). Never a payload, a key or a message of an error."""

import time

import grpc
from opentelemetry import context as otel
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

from common.rpc.access import is_open
from common.rpc.around import Call, Handle, Layer
from common.rpc.call_end import DONE, CallEnd, end_by
from common.rpc.caller import caller_is_unknown, current_caller
from common.rpc.metadata import trace_headers
from common.telemetry.strangers import told_for_a_caller
from common.telemetry.telemetry import TENANT_ID, Telemetry, extract_trace

UNKNOWN_METHOD = "_OTHER"
"""Stands for the names of methods that there are not, which are whatever callers think of."""
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Bounds of the histogram, as the conventions advise."""
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


def traced_and_measured(telemetry: Telemetry) -> Layer:
    """A layer that goes on with the caller's trace, or begins one. Health and reflection are not told of."""
    tracer = telemetry.tracer
    durations = telemetry.meter.create_histogram(
        "rpc.server.call.duration", "s", "How long calls took", explicit_bucket_boundaries_advisory=SECONDS
    )
    refusals = telemetry.meter.create_counter(
        "convergence.calls.refused", "{call}", "Calls that were refused, by the reason that the caller was told"
    )

    def around(method: str, inner: Handle) -> Handle:
        if is_open(method):
            return inner
        name = method.removeprefix("/")
        span_name = "grpc" if name == UNKNOWN_METHOD else name
        known = {"rpc.system.name": "grpc", "rpc.method": name}

        async def handle(call: Call) -> bytes | None:
            caller_trace = extract_trace(trace_headers(call))
            span = tracer.start_span(span_name, caller_trace, SpanKind.SERVER, known)
            otel.attach(set_span_in_context(span, caller_trace))  # for the rest of the call's task, which is its own
            told_for_a_caller(caller_is_unknown)
            start = time.perf_counter()
            end = DONE
            try:
                return await inner(call)
            except BaseException as error:
                end = end_by(error, call.context)
                raise
            finally:
                seconds = time.perf_counter() - start
                if end.reason is not None:
                    limit = {} if end.limit is None else {"convergence.limit": end.limit}
                    refusals.add(1, {"rpc.method": name, "convergence.reason": end.reason, **limit})
                durations.record(seconds, {**known, **_status(end)})
                if span.is_recording():
                    span.set_attributes(_outcome(end))
                    if end.status in _FAULTS:
                        span.set_status(Status(StatusCode.ERROR))
                span.end()

        return handle

    return around


def _status(end: CallEnd) -> dict[str, str]:
    status = end.status.name
    return {"rpc.response.status_code": status, **({} if end is DONE else {"error.type": status})}


def _outcome(end: CallEnd) -> dict[str, str]:
    attributes = _status(end)
    if end.reason is not None:
        attributes["error.type"] = end.reason
    try:
        caller = current_caller()
    except LookupError:
        return attributes
    if caller.tenant_id is not None:
        attributes[TENANT_ID] = caller.tenant_id
    return attributes


def of_unknown_methods(layer: Layer) -> Layer:
    """The same for calls of methods that there are not, under one name for all."""
    return lambda _, inner: layer(UNKNOWN_METHOD, inner)
