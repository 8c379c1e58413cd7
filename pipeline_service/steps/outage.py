"""Waiting for a warehouse, or whatever else a step needs, that is away: within the attempt, which that does not cost. An attempt is what
was tried and failed."""

import random

from common.clock import Clock
from common.errors import JobAborted
from pipeline_service.step_errors import may_pass_soon

PATIENCE_SECONDS = 300.0
"""How long an attempt waits, counted from the first time that it found something away."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 5.0


class Outage:
    """What one attempt at a step has had to wait so far."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._deadline: float | None = None

    @property
    def has_waited(self) -> bool:
        """Whether the attempt began before."""
        return self._deadline is not None

    async def waited_out(self, error: Exception) -> bool:
        """Pause and say True where the attempt may begin again, attaching to its jobs. False at once for a job that failed, for what does
        not pass soon, and once the patience is used up."""
        if isinstance(error, JobAborted) or not may_pass_soon(error):
            return False
        now = self._clock.monotonic()
        if self._deadline is None:
            self._deadline = now + PATIENCE_SECONDS
        pause_seconds = self._pause_seconds * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
        if now + pause_seconds > self._deadline:
            return False
        self._pause_seconds = min(2 * self._pause_seconds, LONGEST_PAUSE_SECONDS)
        await self._clock.sleep(pause_seconds)
        return True
