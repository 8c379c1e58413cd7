"""Executing a step of any type, once it is certain that it may still run: the plan lay in the engine meanwhile."""

from contextlib import suppress
from datetime import datetime

from common.errors import TenantSuspended
from common.templates.tables import check_tables
from common.tenants.tenants import Tenants
from common.warehouse.warehouse import TableRef
from pipeline_service.steps.attempt import Attempt
from pipeline_service.steps.conditions import Conditions
from pipeline_service.steps.dq import DqExecutor
from pipeline_service.steps.load import LoadExecutor
from pipeline_service.steps.newest_row import NewestRows
from pipeline_service.steps.query import QueryExecutor


class StepExecutor:
    """The types of step that there are."""

    def __init__(
        self,
        *,
        query: QueryExecutor,
        load: LoadExecutor,
        dq: DqExecutor,
        conditions: Conditions,
        newest_rows: NewestRows,
        tenants: Tenants,
    ) -> None:
        self._query = query
        self._load = load
        self._conditions = conditions
        self._dq = dq
        self._newest_rows = newest_rows
        self._tenants = tenants

    async def run(self, attempt: Attempt) -> None:
        """Execute the step. Raises StepFailed, TableNotAllowed, LocationNotAllowed, TenantNotFound, Unavailable and what the warehouse
        raises."""
        await self._require_allowed(attempt)
        if attempt.step.query is not None:
            await self._query.run(attempt, attempt.step.query)
        elif attempt.step.load is not None:
            await self._load.run(attempt, attempt.step.load)
        elif attempt.step.checked is not None:
            await self._dq.run(attempt, attempt.step.checked)

    async def decide(self, attempt: Attempt) -> bool:
        """Whether the step's condition holds. Raises what `run` raises."""
        await self._require_allowed(attempt)
        return attempt.step.when is None or await self._conditions.holds(attempt, attempt.step.when)

    async def find_newest_row(self, attempt: Attempt) -> datetime | None:
        """When the newest row that the step is about to read came into its source. Raises what `run` raises."""
        await self._require_allowed(attempt)
        return await self._newest_rows.find(attempt, attempt.step.query) if attempt.step.query else None

    async def _require_allowed(self, attempt: Attempt) -> None:
        """A tenant that was suspended meanwhile sees its running runs through; a deleted one, or a grant taken back, ends them."""
        tenant_id = attempt.run.tenant_id
        with suppress(TenantSuspended):
            await self._tenants.require_ready(tenant_id)
        check_tables([attempt.target], tenant_id, {})
        read = {TableRef.parse(table) for statement in attempt.step.statements() for table in statement.tables}
        check_tables(read, tenant_id, await self._tenants.sources(tenant_id))
