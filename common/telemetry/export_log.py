"""Tells the log that the receiver takes nothing, once, and that it takes something again: not at every try, and nothing of what it said.
Likewise that spans come faster than they are taken, and that headers are malformed, of which it repeats nothing: they are secrets."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import grpc
import structlog

_EXPORTERS = "opentelemetry.exporter"
"""The loggers of the SDK's exporters, which tell of every failure, in the receiver's own words."""
_QUEUE = "opentelemetry.sdk._shared_internal"
"""That of the queue of spans, which tells when it is full, and what an exporter raises."""
_READER = "opentelemetry.sdk.metrics._internal.export"
"""That of what sends metrics, which tells what an exporter raises."""
_HEADERS = "opentelemetry.util.re"
"""That of what reads OTEL_EXPORTER_OTLP_HEADERS, which repeats what it cannot read."""
_OVERFLOW_SECONDS = 600.0
"""How long nothing more is said of a full queue: it may be full at one moment and not at the next."""

_log = structlog.get_logger(__name__)


class ExportLog(logging.Handler):
    """How exports end. For the threads that export."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(logging.WARNING)
        self._endpoint = endpoint
        self._is_refused = False
        self._overflow_told_at: float | None = None
        self._are_headers_told = False
        self._changing = threading.Lock()

    def succeeded(self) -> None:
        """The receiver has taken an export."""
        with self._changing:
            if self._is_refused:
                self._is_refused = False
                _log.info("telemetry is sent again", endpoint=self._endpoint)

    def emit(self, record: logging.LogRecord) -> None:
        """An export has failed for good, the queue is full, or a header cannot be read. What else there is below ERROR is tried again."""
        with self._changing:
            if record.name == _HEADERS:
                self._headers_are_malformed()
            elif record.levelno >= logging.ERROR:
                self._failed(record)
            elif record.name == _QUEUE:
                self._overflows()

    def _headers_are_malformed(self) -> None:
        if not self._are_headers_told:
            self._are_headers_told = True
            _log.warning("headers for telemetry are malformed and left out", setting="OTEL_EXPORTER_OTLP_HEADERS")

    def _failed(self, record: logging.LogRecord) -> None:
        if not self._is_refused:
            self._is_refused = True
            _log.warning("telemetry is not sent", endpoint=self._endpoint, status=_status_in(record))

    def _overflows(self) -> None:
        now = time.monotonic()
        if self._overflow_told_at is None or now - self._overflow_told_at >= _OVERFLOW_SECONDS:
            self._overflow_told_at = now
            _log.warning("spans are dropped: they come faster than they are taken", endpoint=self._endpoint)

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Hear meanwhile, instead of the log, what those who export in this process say."""
        with ExitStack() as stack:
            for name in (_EXPORTERS, _QUEUE, _READER, _HEADERS):
                stack.enter_context(self._attached_to(logging.getLogger(name)))
            yield

    @contextmanager
    def _attached_to(self, logger: logging.Logger) -> Iterator[None]:
        propagate, level = logger.propagate, logger.level
        logger.addHandler(self)
        logger.propagate = False
        logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            logger.removeHandler(self)
            logger.propagate = propagate
            logger.setLevel(level)


def _status_in(record: logging.LogRecord) -> str:
    """What the receiver answered or, where that is not known, the type of what was raised."""
    arguments = record.args if isinstance(record.args, tuple) else ()
    raised = record.exc_info[0] if record.exc_info else None
    unknown = raised.__name__ if raised else "UNKNOWN"
    return next((each.name for each in arguments if isinstance(each, grpc.StatusCode)), unknown)
