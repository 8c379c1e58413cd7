"""How fresh a step's source is: the time of the newest row that it is about to read, `newest_source_row`, a SELECT of one TIMESTAMP."""

from datetime import datetime

from pipeline_service.plan import PlanQuery
from pipeline_service.step_errors import StepFailed
from pipeline_service.steps.accounts import StepAccounts
from pipeline_service.steps.attempt import Attempt
from pipeline_service.steps.within_timeout import within_timeout


class NewestRows:
    """Looks for newest rows. It is looked once for a run, before the first attempt at the step: what is read later may be newer, but no
    row that is as old is missing."""

    def __init__(self, accounts: StepAccounts) -> None:
        self._accounts = accounts

    async def find(self, attempt: Attempt, query: PlanQuery) -> datetime | None:
        """The time, as the account that the query runs as sees it; None where there is no row, or the template does not ask. Raises
        StepFailed (STEP_TIMEOUT, STATEMENT_FAILED for what is no TIMESTAMP), MoreBytesWanted, what StepAccounts and what the warehouse
        raise."""
        if query.newest_source_row is None:
            return None
        statement = query.newest_source_row.statement()
        async with (
            within_timeout(attempt, "Finding the newest row took longer than the step's timeout"),
            self._accounts.warehouse(attempt.run.tenant_id, query.credential) as warehouse,
        ):
            await attempt.fund_reads(warehouse, [statement])
            [row] = await attempt.read(warehouse, statement, max_rows=1)
        newest = row["newest"]
        if newest is not None and not (isinstance(newest, datetime) and newest.tzinfo):
            raise StepFailed("STATEMENT_FAILED", "The step's newest_source_row yields no TIMESTAMP")
        return newest
