"""Tells the log that the receiver takes nothing, once, and that it takes something again: not at every try, and nothing of what it said."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import structlog

_EXPORTERS = "opentelemetry.exporter"
"""The loggers of the SDK's exporters, which tell of every failure, in the receiver's own words."""

_log = structlog.get_logger(__name__)


class Outcomes(logging.Handler):
    """How exports end. For the threads that export."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(logging.ERROR)  # below it is what is tried again
        self._endpoint = endpoint
        self._is_refused = False
        self._changing = threading.Lock()

    def taken(self) -> None:
        """The receiver has taken an export."""
        with self._changing:
            if self._is_refused:
                self._is_refused = False
                _log.info("telemetry is sent again", endpoint=self._endpoint)

    def emit(self, record: logging.LogRecord) -> None:
        """An export has failed for good."""
        with self._changing:
            if not self._is_refused:
                self._is_refused = True
                _log.warning("telemetry is not sent", endpoint=self._endpoint, status=_status_in(record))

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Hear meanwhile, instead of the log, what the exporters of this process say."""
        exporters = logging.getLogger(_EXPORTERS)
        exporters.addHandler(self)
        exporters.propagate = False
        try:
            yield
        finally:
            exporters.removeHandler(self)
            exporters.propagate = True


def _status_in(record: logging.LogRecord) -> str:
    arguments = record.args if isinstance(record.args, tuple) else ()
    return next((each.name for each in arguments if isinstance(each, grpc.StatusCode)), "UNKNOWN")
