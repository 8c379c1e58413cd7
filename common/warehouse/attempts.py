"""How every effect on the warehouse happens exactly once: numbered attempts, each a job whose id can never run twice.

The next attempt starts only once the last is known to have failed, so a process that takes over from a dead one, with the same ids,
attaches to what it finds. Knows nothing of the run engine: the caller derives the ids (run, step, attempt).
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

from common.clock import Clock
from common.errors import JobAborted, ObjectExists, ObjectNotFound, Terminal, Transient, WarehouseError
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
    outlives_refusals: bool = False,
    cut_off: Callable[[int | None], None] = lambda _: None,
) -> JobResult:
    """Run `job_for(1)`, and after each attempt that failed for a passing cause the next, up to `max_attempts`.

    With `outlives_refusals` also after one that failed for good, where an earlier call had submitted it: what it was refused for may have
    been mended since, and a job that failed had no effect.

    `job_for` maps an attempt (from 1) to a job; the same attempt must yield the same job, in any process. Raises Terminal as the job
    failed, JobAborted when the last attempt did or one for a cause that lasts, Transient where such a cause keeps a job from being
    submitted, and after `deadline_seconds`: the job may then still run, and calling again attaches to it. A cancelled caller asks the
    warehouse to cancel the job and waits at most CANCEL_SECONDS for its end, unless `leaves_job()` says that the job shall go on for
    whoever attaches to it next: a cancelled job's id is used up. `cut_off` is told what a job has billed whose end a cancelled caller has
    seen, None where the warehouse does not say.
    """
    patience = _Patience(deadline_seconds, clock)
    for attempt in range(1, max_attempts):
        try:
            return await _run(warehouse, job_for(attempt), patience, leaves_job, cut_off)
        except _FoundFailed as found:
            if not (outlives_refusals or isinstance(found.error, JobAborted)):
                raise found.error from found.error.__cause__
            patience.require_time(found.error)
        except JobAborted as error:
            if error.lasts:
                raise
            await patience.pause(error)
    try:
        return await _run(warehouse, job_for(max_attempts), patience, leaves_job, cut_off)
    except _FoundFailed as found:
        raise found.error from found.error.__cause__


class _FoundFailed(Exception):
    """A job failed that an earlier call had submitted: nothing is to be waited for before the next."""

    def __init__(self, error: JobAborted | Terminal) -> None:
        super().__init__()
        self.error = error


async def _run(
    warehouse: Warehouse,
    job: Job,
    patience: "_Patience",
    leaves_job: Callable[[], bool],
    cut_off: Callable[[int | None], None],
) -> JobResult:
    """See one job through to its end, whoever started it. Raises _FoundFailed for another's that failed."""
    is_ours = False
    while True:
        is_submitted = False
        submitting = asyncio.ensure_future(_submit(warehouse, job))
        try:
            try:
                is_ours = await asyncio.shield(submitting) or is_ours
                is_submitted = True
                return await _end_of(warehouse, job.job_id, patience.remaining_seconds(), is_ours=is_ours)
            except JobAborted:
                raise
            except Transient as error:  # Says nothing of the job: submitting it again attaches to it.
                if error.lasts and not is_submitted:
                    raise
                await patience.pause(error)
        except asyncio.CancelledError:
            if not leaves_job():
                await _cancel(warehouse, job.job_id, submitting, cut_off)
            raise


async def _submit(warehouse: Warehouse, job: Job) -> bool:
    """Submit a job; False where it was submitted before, by us or by a process that died: attach to it."""
    try:
        await warehouse.submit(job)
    except ObjectExists:
        return False
    return True


async def _end_of(warehouse: Warehouse, job_id: str, timeout_seconds: float, *, is_ours: bool) -> JobResult:
    try:
        return await warehouse.wait(job_id, timeout_seconds=timeout_seconds)
    except ObjectNotFound as error:
        raise Transient("The warehouse lost the job before it did anything") from error
    except (JobAborted, Terminal) as error:
        if is_ours:
            raise
        raise _FoundFailed(error) from error


async def _cancel(
    warehouse: Warehouse, job_id: str, submitting: Awaitable[bool], cut_off: Callable[[int | None], None]
) -> None:
    """Cancel a job, whose submission may still be under way (a thread that sends it cannot be called back), and see it end: it must not
    write anything after what its caller does next."""
    with suppress(WarehouseError, TimeoutError):
        async with asyncio.timeout(CANCEL_SECONDS):
            await asyncio.gather(submitting, return_exceptions=True)
            await warehouse.cancel(job_id)
            try:
                cut_off((await warehouse.wait(job_id, timeout_seconds=CANCEL_SECONDS)).bytes_billed)
            except Terminal as error:
                cut_off(error.bytes_billed)


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

    def require_time(self, cause: WarehouseError) -> None:
        """Raise Transient from `cause` once the deadline has come."""
        if self.remaining_seconds() <= 0:
            raise Transient("The warehouse did not finish the job within the time allowed") from cause
