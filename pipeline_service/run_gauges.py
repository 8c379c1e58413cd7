"""Tells how many runs there are and how many wait, asked of the engine as often as metrics are sent. Every process tells the same."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

import structlog
from opentelemetry.metrics import CallbackOptions, Meter, Observation

from common.errors import ConvergenceError
from common.telemetry.telemetry import Telemetry
from pipeline_service.temporal_run_counter import RunCounts, TemporalRunCounter

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def run_gauges(
    telemetry: Telemetry | None, counter: TemporalRunCounter, *, interval_seconds: float
) -> AsyncIterator[None]:
    """Meanwhile count the runs every `interval_seconds`, and tell the last count. Where `telemetry` is None nothing is counted."""
    if telemetry is None:
        yield
        return
    gauges = _Gauges(telemetry.meter, counter, interval_seconds=interval_seconds)
    keeping = asyncio.create_task(gauges.keep())
    try:
        yield
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping


class _Gauges:
    """The gauges of one process. While the engine is away they tell nothing, rather than what was."""

    def __init__(self, meter: Meter, counter: TemporalRunCounter, *, interval_seconds: float) -> None:
        self._counter = counter
        self._interval_seconds = interval_seconds
        self._counts: RunCounts | None = None
        meter.create_observable_gauge(
            "convergence.runs.active", [self._active], "{run}", "Runs of the installation that have not ended"
        )
        meter.create_observable_gauge(
            "convergence.runs.waiting", [self._waiting], "{run}", "Runs of the installation that wait for a slot"
        )

    async def keep(self) -> None:
        """Count for ever, whatever a count raises."""
        while True:
            try:
                self._counts = await self._counter.count()
            except ConvergenceError as error:
                self._counts = None
                _log.debug("runs cannot be counted", reason=error.reason)
            except Exception as error:  # noqa: BLE001 - whatever a count raises, the next one is made
                self._counts = None
                _log.warning("runs cannot be counted", exc_info=error)
            await asyncio.sleep(self._interval_seconds)

    def _active(self, _: CallbackOptions) -> Iterable[Observation]:
        counts = self._counts
        return [] if counts is None else [Observation(counts.active)]

    def _waiting(self, _: CallbackOptions) -> Iterable[Observation]:
        counts = self._counts
        return [] if counts is None else [Observation(counts.waiting)]
