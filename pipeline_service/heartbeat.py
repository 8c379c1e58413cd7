"""The life of an activity's attempt: it tells the engine that it lives, hears of its end, and fails as the engine is to take it.

Without causes: the engine keeps the text of every cause in its history, and a vendor's may quote rows or hold a token.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from temporalio import activity

from pipeline_service.failures import as_application_error, attempt_given_up
from pipeline_service.step_errors import as_run_error

HEARTBEAT_SECONDS = 0.5
"""How often an attempt asks whether it is cancelled: a check's query is to be cancelled within a second."""
LONGEST_PAUSE_ATTEMPT = 4
"""Up to here the pause between two attempts grows at what a run or a whole tenant waits for: 8 s."""


@asynccontextmanager
async def while_alive() -> AsyncIterator[None]:
    """Tell the engine regularly that this attempt lives, which is also how it hears of a cancellation. The end of an attempt whose run
    goes on is a failure like a passing one."""

    async def beat() -> None:
        while True:
            # Not at once: each is a call to the engine, and what has ended by then needs none.
            await asyncio.sleep(HEARTBEAT_SECONDS)
            activity.heartbeat()

    beating = asyncio.create_task(beat())
    try:
        yield
    except asyncio.CancelledError:
        if is_given_up():
            raise attempt_given_up() from None
        raise
    finally:
        beating.cancel()


def is_given_up() -> bool:
    """Whether this attempt ends though nobody cancelled the run: its worker shuts down, or the engine gave it up. Another attempt may
    already wait for its jobs."""
    details = activity.cancellation_details()
    return details is not None and not details.cancel_requested


@asynccontextmanager
async def retried(
    may_repeat: Callable[[Exception], bool], *, longest_pause_attempt: int | None = None
) -> AsyncIterator[None]:
    """Live, and fail as the engine is to take it: to be tried again where `may_repeat` says so of the error, after pauses that grow up to
    that of the attempt with the number `longest_pause_attempt`."""
    async with while_alive():
        try:
            yield
        except Exception as error:  # noqa: BLE001 - told as a failure, and logged where nobody foresaw it
            number = activity.info().attempt
            attempt = min(number, longest_pause_attempt or number)
            raise as_application_error(as_run_error(error), repeat=may_repeat(error), attempt=attempt) from None
