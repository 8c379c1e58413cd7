"""The step `dq`: checks a table, or one day of it, that is already published."""

from common.errors import ObjectNotFound
from common.warehouse.warehouse import TableRef, Warehouse
from pipeline_service.days import days_between
from pipeline_service.plan import PlanTable
from pipeline_service.step_errors import StepFailed
from pipeline_service.steps.attempt import Attempt, day_of
from pipeline_service.steps.checks import Checks
from pipeline_service.steps.within_timeout import within_timeout


class DqExecutor:
    """Executes `dq` steps."""

    def __init__(self, warehouse: Warehouse, checks: Checks) -> None:
        self._warehouse = warehouse
        self._checks = checks

    async def run(self, attempt: Attempt, checked: PlanTable) -> None:
        """Raises StepFailed (CHECK_FAILED, STEP_TIMEOUT, STATEMENT_FAILED for a table that is not there) and what the warehouse raises."""
        async with within_timeout(attempt, "The step ran longer than its timeout"):
            await self._checks.run(attempt, await self._rows(attempt, checked))

    async def _rows(self, attempt: Attempt, checked: PlanTable) -> str:
        try:
            return await published_rows(self._warehouse, checked)
        except ObjectNotFound as error:
            raise StepFailed("STATEMENT_FAILED", f"The table {attempt.target.table} does not exist") from error


async def published_rows(warehouse: Warehouse, checked: PlanTable) -> str:
    """The SELECT of a published table's rows, or of those of one day. Raises ObjectNotFound, where it has to look at the table."""
    table, day = TableRef.parse(checked.table), day_of(checked.partition)
    if day is None or checked.partition_column is None:
        return f"SELECT * FROM `{table}`"
    spec = (await warehouse.get_table(table)).spec
    return f"SELECT * FROM `{table}` WHERE {days_between(spec, checked.partition_column, day, day)}"
