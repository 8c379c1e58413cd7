"""The step `query`: stage the rows of a SELECT, check them, and only then publish them in the way that the step names. A view has nothing
to stage: the rows that it would show are checked."""

from common.templates.tables import check_tables
from common.warehouse.warehouse import Destination, QueryJob, TableRef, Warehouse
from pipeline_service.plan import PlanQuery
from pipeline_service.steps.accounts import StepAccounts
from pipeline_service.steps.attempt import STAGE, Attempt
from pipeline_service.steps.checks import Checks
from pipeline_service.steps.publication import Publication, before_publishing


class QueryExecutor:
    """Executes `query` steps."""

    def __init__(self, warehouse: Warehouse, accounts: StepAccounts, checks: Checks, publication: Publication) -> None:
        self._warehouse = warehouse
        self._accounts = accounts
        self._checks = checks
        self._publication = publication

    async def run(self, attempt: Attempt, query: PlanQuery) -> None:
        """Raises StepFailed (CHECK_FAILED, STEP_TIMEOUT), MoreBytesWanted, NoLongerWanted, what StepAccounts and what the warehouse raise.
        Nothing is published then."""
        if query.write == "view":
            async with before_publishing(attempt):
                await self._checks.run(attempt, query.select.sql)
            await self._publish_view(attempt, query)
            return

        def job(number: int, destination: Destination, most: int | None) -> QueryJob:
            return QueryJob(
                attempt.job_id(STAGE, number),
                query.select.statement(),
                destination,
                attempt.labels,
                most,
                attempt.step.timeout_seconds,
            )

        account = self._accounts.warehouse(attempt.run.tenant_id, query.credential)
        await self._publication.run(attempt, query, job, account)

    async def _publish_view(self, attempt: Attempt, query: PlanQuery) -> None:
        """Repeatable by itself, so without a job. Nobody checks what a view reads once it is there: it must be the tenant's own."""
        check_tables(map(TableRef.parse, query.select.tables), attempt.run.tenant_id, {})
        await attempt.require_wanted()
        await self._warehouse.create_or_replace_view(attempt.target, query.select.sql)
