"""PlanTemplate: what RunTemplate would do now, what that would cost, and what is new since the last run. Writes and starts nothing."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal

from common.errors import TenantSuspended
from common.fields import Fields
from common.rpc.caller import Caller
from common.templates.catalog import Catalog
from common.templates.template import TemplateName
from common.tenants.tenants import Tenants
from pipeline_service.budgets import Budgets
from pipeline_service.estimates import Cost, Estimates, StepEstimate
from pipeline_service.last_run import Difference, LastRuns
from pipeline_service.plan import Plan
from pipeline_service.planning import Planner
from pipeline_service.run_template import DEFAULT_TRIGGER, RunOptions


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A plan, an estimate for each of its steps, and how it differs from the last run; None where there was none. The limits are those of
    bytes, None where there are none, as is what is left of the day's."""

    plan: Plan
    estimates: Sequence[StepEstimate]
    total: Cost
    price_per_tib_usd: Decimal
    difference: Difference | None
    max_bytes_per_day: int | None
    bytes_left_of_day: int | None

    @property
    def fits(self) -> bool:
        """Whether what is known of its cost fits its budgets now."""
        per_run = self.plan.budget.max_bytes if self.plan.budget else None
        return all(bound is None or self.total.bytes_billed <= bound for bound in (per_run, self.bytes_left_of_day))


class PlanTemplate:
    """The use case."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        tenants: Tenants,
        planner: Planner,
        estimates: Estimates,
        last_runs: LastRuns,
        budgets: Budgets,
    ) -> None:
        self._catalog = catalog
        self._tenants = tenants
        self._planner = planner
        self._estimates = estimates
        self._last_runs = last_runs
        self._budgets = budgets

    async def __call__(
        self, caller: Caller, *, tenant_id: str, provider: str, domain: str, template_name: str, options: RunOptions
    ) -> PlannedRun:
        """Plan. Raises InvalidInput, TenantMismatch, TenantNotFound, TenantNotReady, TemplateNotFound, TemplateInvalid, TableNotAllowed,
        SourceNotGranted, PlanTooLarge, Transient, Unavailable."""
        fields = Fields()
        fields.tenant_id(tenant_id)
        fields.template(provider, domain, template_name)
        options.check(fields)
        fields.require_valid()
        caller.require_tenant(tenant_id)

        with suppress(TenantSuspended):
            await self._tenants.require_ready(tenant_id)
        template = self._catalog.get(TemplateName(provider, domain, template_name))
        plan = await self._planner.plan(
            template,
            tenant_id=tenant_id,
            date=options.date,
            parameters=options.parameters,
            trigger_by=DEFAULT_TRIGGER,
            principal=caller.principal,
        )
        estimates, difference, left = await asyncio.gather(
            self._estimates.of(plan.steps),
            self._last_runs.difference(template, plan),
            self._budgets.left_of_day(tenant_id),
        )
        return PlannedRun(
            plan,
            estimates,
            self._estimates.total(estimates),
            self._estimates.price.per_tib_usd,
            difference,
            self._budgets.limits.per_day,
            left,
        )
