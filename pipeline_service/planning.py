"""From a template to the plan of a run that is accepted now."""

import asyncio
import datetime
from collections.abc import Mapping

from common.clock import Clock
from common.templates.resolve import resolve
from common.templates.template import Template
from common.tenants.tenants import Tenants
from pipeline_service.locations import Locations
from pipeline_service.plan import Plan


class Planner:
    """Resolves templates with the tenant's grants, the places of files and the present day."""

    def __init__(self, tenants: Tenants, locations: Locations, clock: Clock) -> None:
        self._tenants = tenants
        self._locations = locations
        self._clock = clock

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
        return Plan.of(resolved, trigger_by=trigger_by, principal=principal)
