"""What is told of a warehouse: a span for each call and job within a trace, how long it took, bytes that it read and that are billed.

Names of datasets, tables and jobs are told; statements and the values in them are not.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, Status, StatusCode, get_current_span

from common.errors import ObjectExists, ObjectNotFound, Terminal
from common.telemetry.telemetry import Telemetry

Attributes = Mapping[str, str | bool]
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600)
"""Bounds of the histogram."""
_ANSWERS = (ObjectNotFound, ObjectExists)
"""Errors that are answers: what there is, and what there is not."""


@dataclass(slots=True)
class Submitted:
    """A job that is waited for: what it is, and since when, in nanoseconds of the clock of the day and seconds of the monotonic one."""

    operation: str
    table: str
    attached: bool = False
    began_ns: int = field(default_factory=time.time_ns)
    began: float = field(default_factory=time.monotonic)


class WarehouseTelemetry:
    """Tells of one warehouse, whichever account calls it."""

    def __init__(self, telemetry: Telemetry, system: str) -> None:
        """`system` is what the conventions are to call it: `bigquery`, `local`."""
        meter = telemetry.meter
        self._tracer = telemetry.tracer
        self._system = system
        self._durations = meter.create_histogram(
            "db.client.operation.duration",
            "s",
            "How long calls of the warehouse took, and each wait for a job from its submission on",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self._processed = meter.create_counter(
            "convergence.warehouse.bytes_processed", "By", "Bytes that jobs and reads have processed"
        )
        self._billed = meter.create_counter(
            "convergence.warehouse.bytes_billed", "By", "Bytes that are billed for jobs and reads"
        )

    @contextmanager
    def operation(
        self, operation: str, target: str = "", *, since: Submitted | None = None, about: Attributes | None = None
    ) -> Iterator[Span]:
        """Tell of what is done within, `since` before where it began then. What is raised is told of by its reason."""
        measured = {"db.system.name": self._system, "db.operation.name": operation}
        collection = {"db.collection.name": target} if target else {}
        began = since.began if since else time.monotonic()
        span = self._begin(operation, {**measured, **collection, **(about or {})}, since)
        outcome: dict[str, str] = {}
        try:
            yield span
        except _ANSWERS as answer:
            outcome = {"error.type": type(answer).__name__}
            raise
        except BaseException as error:
            outcome = {"error.type": error.reason if isinstance(error, Terminal) else type(error).__name__}
            if isinstance(error, Exception):
                span.set_status(Status(StatusCode.ERROR))
            raise
        finally:
            span.set_attributes(outcome)
            span.end()
            self._durations.record(time.monotonic() - began, {**measured, **outcome})

    def read(self, operation: str, span: Span, *, processed: int, billed: int) -> None:
        """Tell of bytes."""
        about = {"db.system.name": self._system, "db.operation.name": operation}
        self._processed.add(processed, about)
        self._billed.add(billed, about)
        span.set_attributes({"convergence.bytes_processed": processed, "convergence.bytes_billed": billed})

    def _begin(self, operation: str, attributes: Attributes, since: Submitted | None) -> Span:
        """A span within the current trace; none of its own for what nobody's call or run has caused."""
        if not get_current_span().get_span_context().is_valid:
            return INVALID_SPAN
        start_ns = since.began_ns if since else None
        return self._tracer.start_span(f"warehouse {operation}", None, SpanKind.CLIENT, attributes, start_time=start_ns)
