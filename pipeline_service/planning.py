"""From a template to the plan of a run that is accepted now."""

import asyncio
import datetime
from collections.abc import Mapping

from common.clock import Clock
from common.templates.resolve import resolve
from common.templates.template import Template
from common.tenants.tenants import Tenants
from pipeline_service.budgets import BudgetLimits
from pipeline_service.locations import Locations
from pipeline_service.plan import Plan

_NO_LIMITS = BudgetLimits()


class Planner:
    """Resolves templates with the tenant's grants, the places of files and the present day, and bounds what their
    runs may bill."""

    def __init__(self, tenants: Tenants, locations: Locations, clock: Clock, limits: BudgetLimits = _NO_LIMITS) -> None:
        self._tenants = tenants
        self._locations = locations
        self._clock = clock
        self._limits = limits

    def today(self) -> datetime.date:
        """The present day in UTC."""
        return self._clock.now().date()

    async def plan(
        self,
        template: Template,
        *,
        tenant_id: str,
        date: str,
        parameters: Mapping[str, str],
        trigger_by: str,
        principal: str,
        today: datetime.date | None = None,
    ) -> Plan:
        """`today` is the day on which the run was accepted, where that is not the present one.

        Raises InvalidInput, TableNotAllowed, LocationNotAllowed, SourceNotGranted, PlanTooLarge, Unavailable.
        """
        resolved = await asyncio.to_thread(  # parsing a tenant's SQL for the first time takes 0.1 s
            resolve,
            template,
            tenant_id=tenant_id,
            sources=await self._tenants.sources(tenant_id),
            date=date,
            parameters=parameters,
            today=today or self.today(),
            places=self._locations.places,
        )
        return self.bounded(Plan.of(resolved, trigger_by=trigger_by, principal=principal))

    def bounded(self, plan: Plan) -> Plan:
        """The plan with the budget that counts now, whichever counted when it was made."""
        return self._limits.bounded(plan)
