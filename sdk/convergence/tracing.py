"""Calls that go on with their caller's trace: for programs that use OpenTelemetry (extra `tracing`).

    channel = grpc.aio.secure_channel(address, credentials, interceptors=tracing_interceptors())

Or, for one call: `stub.RunTemplate(request, metadata=(("x-api-key", key), *trace_metadata()))`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import grpc
from grpc.aio import ClientCallDetails

try:
    from opentelemetry import propagate
except ImportError:  # without the extra there is no trace to go on with
    propagate = None  # type: ignore[assignment]


def trace_metadata() -> tuple[tuple[str, str], ...]:
    """What tells a service the current trace, as the program's propagators write it; empty outside of one, and without OpenTelemetry."""
    carrier: dict[str, str] = {}
    if propagate is not None:
        propagate.inject(carrier)
    return tuple((name.lower(), value) for name, value in carrier.items())


def tracing_interceptors() -> Sequence[grpc.aio.ClientInterceptor]:
    """For a channel of grpc.aio: every call over it carries the trace that is current when it is made."""
    return (_Unary(), _Stream())


class _Unary(grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self,
        continuation: Callable[[ClientCallDetails, Any], Any],
        client_call_details: ClientCallDetails,
        request: Any,
    ) -> Any:
        return await continuation(_within_trace(client_call_details), request)


class _Stream(grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(
        self,
        continuation: Callable[[ClientCallDetails, Any], Any],
        client_call_details: ClientCallDetails,
        request: Any,
    ) -> Any:
        return await continuation(_within_trace(client_call_details), request)


def _within_trace(details: ClientCallDetails) -> ClientCallDetails:
    metadata = grpc.aio.Metadata(*(details.metadata or ()), *trace_metadata())
    return details._replace(metadata=metadata)
