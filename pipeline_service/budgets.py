"""The budgets that are set: what bounds a run that is accepted now, and whether its tenant's day has anything left."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta

from common.clock import Clock
from common.errors import BudgetExceeded
from common.warehouse.estimate import MINIMUM_BILLED_BYTES
from pipeline_service.backfill_plan import BackfillPlan
from pipeline_service.budget_messages import DayUse
from pipeline_service.engine import RunEngine
from pipeline_service.gates import Gates
from pipeline_service.plan import Plan, PlanBudget


@dataclass(frozen=True, slots=True)
class BudgetLimits:
    """Bytes that a run may bill, and all runs of a tenant on one day (UTC); None for no limit."""

    per_run: int | None = None
    per_day: int | None = None

    def bounded(self, plan: Plan) -> Plan:
        """The plan with the budget that counts for it: the template's own, where that is less."""
        bounds = [bound for bound in (plan.max_bytes, self.per_run) if bound is not None]
        has_budget = bool(bounds) or self.per_day is not None
        budget = PlanBudget(min(bounds, default=None), of_day=self.per_day is not None) if has_budget else None
        return replace(plan, budget=budget)


class Budgets:
    """What is left, as the tenant's gate shows it. Without a budget for days it is not asked."""

    def __init__(self, limits: BudgetLimits, gates: Gates, engine: RunEngine, clock: Clock) -> None:
        self.limits = limits
        self._gates = gates
        self._engine = engine
        self._clock = clock

    async def left_of_day(self, tenant_id: str) -> int | None:
        """Bytes that the tenant's runs have neither billed nor reserved today; None for any number. Raises Unavailable."""
        if self.limits.per_day is None:
            return None
        use = await self._use(tenant_id)
        return max(0, self.limits.per_day - use.billed - use.reserved)

    async def require_left(self, plan: Plan | BackfillPlan) -> None:
        """Raises BudgetExceeded where the day is used up: less is left than the smallest statement bills. A call that would find a run
        active, and start none, is let pass. Raises Unavailable."""
        if self.limits.per_day is None:
            return
        left = max(0, self.limits.per_day - (await self._use(plan.header.tenant_id)).billed)
        if left >= MINIMUM_BILLED_BYTES:
            return
        latest = await self._engine.describe(plan.workflow_id)
        if latest is not None and not latest.run.state.status.is_terminal:
            return
        now = self._clock.now()
        tomorrow = datetime.combine(now.date() + timedelta(days=1), time(), UTC)
        raise BudgetExceeded(left, self.limits.per_day, retry_delay_seconds=(tomorrow - now).total_seconds())

    async def _use(self, tenant_id: str) -> DayUse:
        """What is known of the present day."""
        today = self._clock.now().date().isoformat()
        use = (await self._gates.last(tenant_id)).day
        if use is None:
            return DayUse(today, 0)
        return use if use.day == today else DayUse(today, 0, runs=tuple(replace(run, used=0) for run in use.runs))
