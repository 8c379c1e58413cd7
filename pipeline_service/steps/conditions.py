"""The condition of a step, `when`: a SELECT of one BOOL."""

from common.warehouse.warehouse import Warehouse
from pipeline_service.plan import PlanStatement
from pipeline_service.step_errors import StepFailed
from pipeline_service.steps.attempt import Attempt
from pipeline_service.steps.within_timeout import within_timeout


class Conditions:
    """Tells whether conditions hold. One is asked once for a run, before the first attempt at its step: what the step does may change
    the answer."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    async def holds(self, attempt: Attempt, when: PlanStatement) -> bool:
        """Whether it yields TRUE; NULL, which is also no row, is not. Raises StepFailed (STEP_TIMEOUT, STATEMENT_FAILED for what is no
        BOOL), MoreBytesWanted and what the warehouse raises."""
        async with within_timeout(attempt, "The step's condition took longer than the step's timeout"):
            await attempt.fund_reads(self._warehouse, [when.statement()])
            [row] = await attempt.read(self._warehouse, when.statement(), max_rows=1)
        decision = row["decision"]
        if not isinstance(decision, bool | None):
            raise StepFailed("STATEMENT_FAILED", "The step's condition yields no BOOL")
        return bool(decision)
