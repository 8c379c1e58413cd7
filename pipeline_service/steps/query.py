"""The step `query`: stage the rows of a SELECT, check them, and only then publish them in the way that the step names. A view has nothing
to stage: the rows that it would show are checked."""

import asyncio

from common.clock import Clock
from common.templates.tables import check_tables
from common.warehouse.warehouse import Destination, Job, MergeJob, QueryJob, ReplaceJob, TableRef, Warehouse
from pipeline_service.plan import PlanQuery
from pipeline_service.step_errors import StepFailed
from pipeline_service.steps.accounts import StepAccounts
from pipeline_service.steps.attempt import PUBLISH, STAGE, Attempt, day_of
from pipeline_service.steps.checks import Checks

PUBLISH_SECONDS = 300.0
"""How long publishing may take. The step's own timeout ends before it: what has begun to be published is seen through."""


class QueryExecutor:
    """Executes `query` steps. The stage stays until the run ends, so that an attempt can follow one that died anywhere."""

    def __init__(self, warehouse: Warehouse, accounts: StepAccounts, checks: Checks, clock: Clock) -> None:
        self._warehouse = warehouse
        self._accounts = accounts
        self._checks = checks
        self._clock = clock

    async def run(self, attempt: Attempt, query: PlanQuery) -> None:
        """Raises StepFailed (CHECK_FAILED, STEP_TIMEOUT), what StepAccounts and what the warehouse raise. Nothing is published then."""
        try:
            async with asyncio.timeout(attempt.step.timeout_seconds):
                if query.write == "view":
                    await self._checks.run(attempt, query.select.sql)
                else:
                    await self._stage(attempt, query)
                    await self._checks.run(attempt, f"SELECT * FROM `{attempt.stage}`")
        except TimeoutError as error:
            raise StepFailed("STEP_TIMEOUT", "The step ran longer than its timeout; nothing was published") from error
        if query.write == "view":
            await self._publish_view(attempt, query)
        else:
            await self._publish(attempt, query)

    async def _stage(self, attempt: Attempt, query: PlanQuery) -> None:
        destination = Destination(
            attempt.stage,
            partition_column=query.destination.partition_column,
            clustering=query.clustering,
            expire_time=attempt.stage_expire_time,
        )

        def job(number: int) -> Job:
            return QueryJob(
                attempt.job_id(STAGE, number),
                query.select.statement(),
                destination,
                attempt.labels,
                query.max_bytes_billed,
                attempt.step.timeout_seconds,
            )

        patience_seconds = attempt.step.timeout_seconds + 5  # the timeout is the caller's to keep
        async with self._accounts.warehouse(attempt.run.tenant_id, query.credential) as warehouse:
            result = await attempt.run_job(warehouse, job, deadline_seconds=patience_seconds, clock=self._clock)
        attempt.stage_job_id = result.job_id
        attempt.rows_staged = result.rows

    async def _publish(self, attempt: Attempt, query: PlanQuery) -> None:
        def job(number: int) -> Job:
            job_id, stage, target = attempt.job_id(PUBLISH, number), attempt.stage, attempt.target
            if query.write == "merge":
                return MergeJob(job_id, stage, target, query.keys, attempt.labels, PUBLISH_SECONDS)
            partition = day_of(query.destination.partition) if query.write == "replace_partition" else None
            return ReplaceJob(job_id, stage, target, partition, attempt.labels, PUBLISH_SECONDS)

        result = await attempt.run_job(self._warehouse, job, deadline_seconds=PUBLISH_SECONDS, clock=self._clock)
        attempt.publish_job_id = result.job_id
        attempt.rows_written = result.rows

    async def _publish_view(self, attempt: Attempt, query: PlanQuery) -> None:
        """Repeatable by itself, so without a job. Nobody checks what a view reads once it is there: it must be the tenant's own."""
        check_tables(map(TableRef.parse, query.select.tables), attempt.run.tenant_id, {})
        await self._warehouse.create_or_replace_view(attempt.target, query.select.sql)
