"""What steps that publish rows have in common: stage them, check them there, and only then put them into the table."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext

from common.clock import Clock
from common.errors import ObjectNotFound, WarehouseError
from common.warehouse.warehouse import Destination, Job, MergeJob, ReplaceJob, Warehouse
from pipeline_service.plan import PlanLoad, PlanQuery
from pipeline_service.steps.attempt import PUBLISH, STAGE, Attempt, NoLongerWanted, day_of
from pipeline_service.steps.checks import Checks
from pipeline_service.steps.funds import Taken, most_billed, most_billed_by_merge
from pipeline_service.steps.within_timeout import within_timeout

PUBLISH_SECONDS = 300.0
"""How long publishing may take. The step's own timeout ends before it: what has begun to be published is seen through."""
LOOK_SECONDS = 0.1
"""How long a job that is only looked for is waited for."""
Staging = Callable[[int, Destination, int | None], Job]
"""The job that stages the rows in a destination, for its try of that number, billing at most so many bytes, None for any number."""


class Publication:
    """Publishes rows. The stage stays until the run ends, so that an attempt can follow one that died anywhere."""

    def __init__(self, warehouse: Warehouse, checks: Checks, clock: Clock) -> None:
        self._warehouse = warehouse
        self._checks = checks
        self._clock = clock

    async def run(
        self,
        attempt: Attempt,
        published: PlanQuery | PlanLoad,
        staging: Staging,
        stager: AbstractAsyncContextManager[Warehouse],
    ) -> None:
        """Stage by a job on `stager`, check and publish as the step. Raises StepFailed (CHECK_FAILED, STEP_TIMEOUT), MoreBytesWanted, what
        opening `stager` and what the warehouse raise, and NoLongerWanted. Nothing is published then."""
        async with before_publishing(attempt):
            await self._stage(attempt, published, staging, stager)
            await self._checks.run(attempt, f"SELECT * FROM `{attempt.stage}`")
        await self._publish(attempt, published)

    async def _stage(
        self,
        attempt: Attempt,
        published: PlanQuery | PlanLoad,
        staging: Staging,
        stager: AbstractAsyncContextManager[Warehouse],
    ) -> None:
        destination = Destination(
            attempt.stage,
            partition_column=published.destination.partition_column,
            clustering=published.clustering,
            expire_time=attempt.stage_expire_time,
        )
        patience_seconds = attempt.step.timeout_seconds + 5  # the timeout is the caller's to keep
        async with stager as warehouse, _staging_funded(attempt, published, warehouse) as taken:
            result = await attempt.run_job(
                warehouse,
                lambda number: staging(number, destination, taken.most),
                taken,
                deadline_seconds=patience_seconds,
                clock=self._clock,
            )
        attempt.stage_job_id = result.job_id
        attempt.rows_staged = result.rows

    async def _publish(self, attempt: Attempt, published: PlanQuery | PlanLoad) -> None:
        def job(number: int) -> Job:
            job_id, stage, target = attempt.job_id(PUBLISH, number), attempt.stage, attempt.target
            if published.write == "merge":
                return MergeJob(job_id, stage, target, published.keys, attempt.labels, PUBLISH_SECONDS, taken.most)
            partition = day_of(published.destination.partition) if published.write == "replace_partition" else None
            return ReplaceJob(job_id, stage, target, partition, attempt.labels, PUBLISH_SECONDS)

        await self._require_wanted(attempt)
        async with self._publishing_funded(attempt, published) as taken:
            result = await attempt.run_job(
                self._warehouse, job, taken, deadline_seconds=PUBLISH_SECONDS, clock=self._clock
            )
        attempt.publish_job_id = result.job_id
        attempt.rows_written = result.rows

    async def _require_wanted(self, attempt: Attempt) -> None:
        """The last look before a step publishes. What an earlier attempt has begun to publish is seen through. Raises NoLongerWanted."""
        try:
            await attempt.require_wanted()
        except NoLongerWanted:
            if not await self._has_begun(attempt):
                raise

    async def _has_begun(self, attempt: Attempt) -> bool:
        """Whether an attempt may have submitted a job that publishes. A warehouse that does not say has it so."""
        numbers = range(1, attempt.number + 1) if attempt.follows_another else ()
        for number in numbers:
            try:
                await self._warehouse.wait(attempt.job_id(PUBLISH, number), timeout_seconds=LOOK_SECONDS)
            except ObjectNotFound:
                continue
            except WarehouseError:
                return True
            return True
        return False

    def _publishing_funded(
        self, attempt: Attempt, published: PlanQuery | PlanLoad
    ) -> AbstractAsyncContextManager[Taken]:
        """Replacing rows copies them, which bills nothing."""
        if published.write != "merge":
            return nullcontext(Taken(None))
        return attempt.funded(
            PUBLISH, lambda: most_billed_by_merge(self._warehouse, attempt.stage, attempt.target), cap=None
        )


def _staging_funded(
    attempt: Attempt, published: PlanQuery | PlanLoad, warehouse: Warehouse
) -> AbstractAsyncContextManager[Taken]:
    """Loading files bills nothing."""
    if isinstance(published, PlanLoad):
        return nullcontext(Taken(None))
    select = published.select.statement()
    return attempt.funded(STAGE, lambda: most_billed(warehouse, select, attempt.cap), cap=attempt.cap)


def before_publishing(attempt: Attempt) -> AbstractAsyncContextManager[None]:
    """What a step does before it publishes, within its timeout. Raises StepFailed (STEP_TIMEOUT)."""
    return within_timeout(attempt, "The step ran longer than its timeout; nothing was published")
