"""How every effect on the warehouse happens exactly once: numbered attempts, each a job whose id can never run twice.

The next attempt starts only once the last is known to have failed, so a process that takes over from a dead one, with the same ids,
attaches to what it finds. Knows nothing of the run engine: the caller derives the ids (run, step, attempt).
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

from common.clock import Clock
from common.errors import JobAborted, ObjectExists, ObjectNotFound, Transient, WarehouseError
from common.warehouse.warehouse import Job, JobResult, Warehouse

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
CANCEL_SECONDS = 5.0
"""How long a cancelled caller waits for the warehouse to end the job."""


async def run_once(
    warehouse: Warehouse,
    job_for: Callable[[int], Job],
    *,
    deadline_seconds: float,
    max_attempts: int,
    clock: Clock,
    leaves_job: Callable[[], bool] = lambda: False,
) -> JobResult:
    """Run `job_for(1)`, and after each attempt that failed for a passing cause the next, up to `max_attempts`.

    `job_for` maps an attempt (from 1) to a job; the same attempt must yield the same job, in any process. Raises Terminal as the job
    failed, JobAborted when the last attempt did, Transient after `deadline_seconds`: the job may then still run, and calling again
    attaches to it. A cancelled caller asks the warehouse to cancel the job and waits at most CANCEL_SECONDS for its end, unless
    `leaves_job()` says that the job shall go on for whoever attaches to it next: a cancelled job's id is used up.
    """
    patience = _Patience(deadline_seconds, clock)
    for attempt in range(1, max_attempts):
        try:
            return await _run(warehouse, job_for(attempt), patience, leaves_job)
        except JobAborted as error:
            await patience.pause(error)
    return await _run(warehouse, job_for(max_attempts), patience, leaves_job)


async def _run(warehouse: Warehouse, job: Job, patience: "_Patience", leaves_job: Callable[[], bool]) -> JobResult:
    """See one job through to its end, whoever started it."""
    while True:
        submitting = asyncio.ensure_future(_submit(warehouse, job))
        try:
            try:
                await asyncio.shield(submitting)
                return await _wait(warehouse, job.job_id, patience.remaining_seconds())
            except JobAborted:
                raise
            except Transient as error:  # Says nothing of the job: submitting it again attaches to it.
                await patience.pause(error)
        except asyncio.CancelledError:
            if not leaves_job():
                await _cancel(warehouse, job.job_id, submitting)
            raise


async def _submit(warehouse: Warehouse, job: Job) -> None:
    with suppress(ObjectExists):  # Submitted before, by us or by a process that died: attach to it.
        await warehouse.submit(job)


async def _wait(warehouse: Warehouse, job_id: str, timeout_seconds: float) -> JobResult:
    try:
        return await warehouse.wait(job_id, timeout_seconds=timeout_seconds)
    except ObjectNotFound as error:
        raise Transient("The warehouse lost the job before it did anything") from error


async def _cancel(warehouse: Warehouse, job_id: str, submitting: Awaitable[None]) -> None:
    """Cancel a job, whose submission may still be under way (a thread that sends it cannot be called back), and see it end: it must not
    write anything after what its caller does next."""
    with suppress(WarehouseError, TimeoutError):
        async with asyncio.timeout(CANCEL_SECONDS):
            await asyncio.gather(submitting, return_exceptions=True)
            await warehouse.cancel(job_id)
            await warehouse.wait(job_id, timeout_seconds=CANCEL_SECONDS)


class _Patience:
    """One deadline over all attempts, and growing pauses between calls."""

    def __init__(self, deadline_seconds: float, clock: Clock) -> None:
        self._clock = clock
        self._deadline = clock.monotonic() + deadline_seconds
        self._pause_seconds = FIRST_PAUSE_SECONDS

    def remaining_seconds(self) -> float:
        return max(0.0, self._deadline - self._clock.monotonic())

    async def pause(self, cause: Transient) -> None:
        """Sleep before the next call. Raises Transient from `cause` where the deadline leaves no time for one."""
        seconds = self._pause_seconds * random.uniform(0.5, 1.0)  # noqa: S311 - spreads callers out, guards nothing
        if seconds >= self.remaining_seconds():
            raise Transient("The warehouse did not finish the job within the time allowed") from cause
        self._pause_seconds = min(2 * self._pause_seconds, LONGEST_PAUSE_SECONDS)
        await asyncio.sleep(seconds)
