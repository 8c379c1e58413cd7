"""Waiting for what has no event to wait for: processes, files, other threads."""

import asyncio
import time
from collections.abc import Callable

PAUSE_SECONDS = 0.01


def eventually(condition: Callable[[], object], seconds: float = 10.0, what: str = "the condition") -> None:
    """Wait outside an event loop."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(PAUSE_SECONDS)


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait in an event loop. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - see the module
            await asyncio.sleep(PAUSE_SECONDS)
