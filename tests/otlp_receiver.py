"""A receiver of OTLP over gRPC in the test's own process, which keeps what comes, and can be slow, rude or away."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from tests.waiting import until

ARRIVAL_SECONDS = 60.0
Attributes = dict[str, Any]


@dataclass(frozen=True)
class Span:
    """One span as it came."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    is_error: bool
    nanoseconds: tuple[int, int]
    attributes: Attributes
    resource: Attributes


@dataclass(frozen=True)
class Point:
    """The last value of one instrument with some attributes, from one process: `count` only of histograms."""

    name: str
    unit: str
    attributes: Attributes
    resource: Attributes
    value: float
    count: int = 0


class Receiver:
    """Takes spans and metrics, on a free port or on one that is given."""

    def __init__(self, port: int = 0, credentials: grpc.ServerCredentials | None = None) -> None:
        self.refuses: grpc.StatusCode | None = None
        """What it answers to everything, keeping nothing."""
        self.held = threading.Event()
        """Set while it holds a call that it does not answer."""
        self._answers = threading.Event()
        self._answers.set()
        self._traces: list[trace_service_pb2.ExportTraceServiceRequest] = []
        self._metrics: list[metrics_service_pb2.ExportMetricsServiceRequest] = []
        self._server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
        traces: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
        traces(_Traces(self), self._server)
        metrics: Any = metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server
        metrics(_Metrics(self), self._server)
        address = f"127.0.0.1:{port}"
        self.port = (
            self._server.add_secure_port(address, credentials)
            if credentials
            else self._server.add_insecure_port(address)
        )
        self.address = f"127.0.0.1:{self.port}"
        self._server.start()

    @property
    def environ(self) -> dict[str, str]:
        """What a process is told that is to tell it."""
        return {"CONVERGENCE_OTLP_ENDPOINT": self.address}

    def hang(self) -> None:
        """Answer nothing from now on, and keep nothing."""
        self._answers.clear()

    def stop(self) -> None:
        """Be away."""
        self._answers.set()
        self._server.stop(1).wait()  # what is held is answered

    def take(self, kept: list[Any], request: Any, context: grpc.ServicerContext) -> None:
        """Keep a request, or do what the test says instead."""
        if not self._answers.is_set():
            self.held.set()
            self._answers.wait()
            context.abort(grpc.StatusCode.INTERNAL, "held")  # which is not tried again
        if self.refuses is not None:
            context.abort(self.refuses, "what it says is nobody's business")
        kept.append(request)

    @property
    def traces(self) -> list[Any]:
        """The requests with spans."""
        return self._traces

    @property
    def metrics(self) -> list[Any]:
        """The requests with metrics."""
        return self._metrics

    @property
    def everything(self) -> bytes:
        """All that came, for a search."""
        return b"".join(request.SerializeToString() for request in [*self._traces, *self._metrics])

    @property
    def spans(self) -> list[Span]:
        """The spans that came."""
        return [
            _span(span, _plain(of_process.resource.attributes))
            for request in tuple(self._traces)
            for of_process in request.resource_spans
            for of_scope in of_process.scope_spans
            for span in of_scope.spans
        ]

    @property
    def points(self) -> list[Point]:
        """The last point of each instrument, of each set of its attributes, of each process."""
        last: dict[object, Point] = {}
        for request in tuple(self._metrics):
            for of_process in request.resource_metrics:
                resource = _plain(of_process.resource.attributes)
                for of_scope in of_process.scope_metrics:
                    for metric in of_scope.metrics:
                        for point in _points(metric, resource):
                            last[repr((resource, point.name, sorted(point.attributes.items())))] = point
        return list(last.values())

    def named(self, name: str, **attributes: Any) -> list[Span]:
        """The spans of that name which have these attributes, `_` for a dot."""
        return [span for span in self.spans if span.name == name and _has(span.attributes, attributes)]

    def total(self, name: str, **attributes: Any) -> float:
        """The sum of the points of that name which have these attributes: of a histogram, of its counts."""
        matching = [p for p in self.points if p.name == name and _has(p.attributes, attributes)]
        return sum(p.count or p.value for p in matching)

    async def span(self, name: str, **attributes: Any) -> Span:
        """The one span of that name with these attributes, once it has come."""
        await until(lambda: self.named(name, **attributes), ARRIVAL_SECONDS)
        (span,) = self.named(name, **attributes)
        return span


class _Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._receiver.take(self._receiver.traces, request, context)
        return trace_service_pb2.ExportTraceServiceResponse()


class _Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._receiver.take(self._receiver.metrics, request, context)
        return metrics_service_pb2.ExportMetricsServiceResponse()


@contextmanager
def receiver(**options: Any) -> Iterator[Receiver]:
    """One that is away at the end."""
    running = Receiver(**options)
    try:
        yield running
    finally:
        running.stop()


def _has(attributes: Attributes, wanted: Attributes) -> bool:
    plain = {name.replace(".", "_"): value for name, value in attributes.items()}
    return wanted.items() <= plain.items()


def _plain(attributes: Any) -> Attributes:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


def _span(span: Any, resource: Attributes) -> Span:
    return Span(
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.kind,
        span.status.code == 2,
        (span.start_time_unix_nano, span.end_time_unix_nano),
        _plain(span.attributes),
        resource,
    )


def _points(metric: Any, resource: Attributes) -> Iterator[Point]:
    kind = metric.WhichOneof("data")
    for point in getattr(metric, kind).data_points:
        attributes = _plain(point.attributes)
        if kind == "histogram":
            yield Point(metric.name, metric.unit, attributes, resource, point.sum, point.count)
        else:
            yield Point(metric.name, metric.unit, attributes, resource, getattr(point, point.WhichOneof("value")))
