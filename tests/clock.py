"""A clock that stands still until a test moves it."""

import asyncio
from datetime import UTC, datetime, timedelta


class FakeClock:
    """Implements common.clock.Clock. `sleep` returns once the test has advanced the clock far enough."""

    def __init__(self, *, now: datetime = datetime(2025, 11, 15, 12, 16, 40, tzinfo=UTC)) -> None:
        self._start = now - timedelta(seconds=1000)
        self._elapsed = 1000.0
        self._moved = asyncio.Condition()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        until = self._elapsed + seconds
        async with self._moved:
            await self._moved.wait_for(lambda: self._elapsed >= until)

    async def advance(self, seconds: float) -> None:
        async with self._moved:
            self._elapsed += seconds
            self._moved.notify_all()
        for _ in range(10):  # let what was waiting run
            await asyncio.sleep(0)
