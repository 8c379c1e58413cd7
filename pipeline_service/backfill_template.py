"""BackfillTemplate: run a template for every day of a span. No warehouse call on this path."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from common.errors import InvalidInput, Violation
from common.fields import Fields
from common.rpc.caller import Caller
from common.templates.catalog import Catalog
from common.templates.template import Template, TemplateName
from common.tenants.tenants import Tenants
from pipeline_service.backfill import MAX_DAYS, Backfill
from pipeline_service.backfill_plan import BackfillPlan
from pipeline_service.budgets import Budgets
from pipeline_service.engine import Started
from pipeline_service.planning import Planner
from pipeline_service.request_record import Requests, digest_of, request_key
from pipeline_service.run_template import DEFAULT_TRIGGER, RunOptions

MAX_PARALLEL = 32
DEFAULT_PARALLEL = 4


@dataclass(frozen=True, slots=True)
class BackfillOptions:
    """What a backfill may be given. Empty texts and 0 stand for nothing given."""

    start_date: str
    end_date: str
    max_parallel: int
    skip_complete: bool
    trigger_by: str
    parameters: Mapping[str, str]
    request_id: str

    def check(self, fields: Fields) -> None:
        """Note every violation."""
        fields.days(self.start_date, self.end_date, most=MAX_DAYS)
        if not 0 <= self.max_parallel <= MAX_PARALLEL:
            fields.violation("max_parallel", f"must be 1 to {MAX_PARALLEL}, or 0 for {DEFAULT_PARALLEL}")
        RunOptions("", self.trigger_by, self.parameters, self.request_id).check(fields)


class BackfillTemplate:
    """The use case."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        tenants: Tenants,
        planner: Planner,
        budgets: Budgets,
        requests: Requests,
        most_parallel: int,
    ) -> None:
        """`most_parallel` days at once are as many as the warehouse takes well into one table."""
        self._catalog = catalog
        self._tenants = tenants
        self._planner = planner
        self._budgets = budgets
        self._requests = requests
        self._most_parallel = most_parallel

    async def __call__(
        self,
        caller: Caller,
        *,
        tenant_id: str,
        provider: str,
        domain: str,
        template_name: str,
        options: BackfillOptions,
    ) -> Started:
        """Start the backfill, or join the same one where it is active.

        Raises InvalidInput, TenantMismatch, RequestIdReused, TenantNotFound, TenantNotReady, TenantSuspended, TemplateNotFound,
        TemplateInvalid, TableNotAllowed, SourceNotGranted, PlanTooLarge, PipelineBusy, BudgetExceeded, Unavailable.
        """
        fields = Fields()
        fields.tenant_id(tenant_id)
        fields.template(provider, domain, template_name)
        options.check(fields)
        fields.require_valid()
        caller.require_tenant(tenant_id)

        backfill = Backfill.of(
            options.start_date,
            options.end_date,
            max_parallel=min(options.max_parallel or DEFAULT_PARALLEL, self._most_parallel),
            skip_complete=options.skip_complete,
        )
        trigger_by = options.trigger_by or DEFAULT_TRIGGER
        template_of = TemplateName(provider, domain, template_name)
        digest = digest_of(
            "BackfillTemplate",
            *template_of,
            options.start_date,
            options.end_date,
            backfill.max_parallel,
            options.skip_complete,
            trigger_by,
            dict(options.parameters),
        )
        key = request_key(tenant_id, options.request_id) if options.request_id else None
        # A repeat is answered whatever has become of tenant and template since.
        if (answer := await self._requests.answered(key, digest)) is not None:
            return answer
        await self._tenants.require_ready(tenant_id)
        template = self._catalog.get(template_of)
        plan = await self._plan(
            template,
            backfill,
            tenant_id=tenant_id,
            given=options.parameters,
            trigger_by=trigger_by,
            principal=caller.principal,
        )
        await self._budgets.require_left(plan)
        return await self._requests.start(key, digest, plan.workflow_id, plan)

    async def _plan(
        self,
        template: Template,
        backfill: Backfill,
        *,
        tenant_id: str,
        given: Mapping[str, str],
        trigger_by: str,
        principal: str,
    ) -> BackfillPlan:
        """What the engine keeps. The first and the last day are planned for this, so that what is wrong with any is refused now: only the
        bounds of `date` tell days apart."""
        if "date" not in template.parameters:
            raise InvalidInput(
                [Violation("template_name", "the template has no parameter date, so no days to run for")]
            )
        today = self._planner.today()
        first, *_ = [
            await self._planner.plan(
                template,
                tenant_id=tenant_id,
                date=date,
                parameters=given,
                trigger_by=trigger_by,
                principal=principal,
                today=today,
            )
            for date in dict.fromkeys((backfill.start_date, backfill.end_date))
        ]
        if first.exclusive:
            backfill = replace(backfill, max_parallel=1)
        common = {name: value for name, value in first.header.parameters.items() if name != "date"}
        plan = BackfillPlan(
            header=replace(first.header, parameters=common, work=_work_of(first.header.pipeline_id, backfill, common)),
            backfill=backfill,
            template_text=template.text,
            given=dict(given),
            accepted_on=today.isoformat(),
        )
        plan.require_fitting()
        return plan


def _work_of(pipeline_id: str, backfill: Backfill, parameters: Mapping[str, str]) -> str:
    """What is the same for the same backfill, and for no other."""
    asked = (backfill.start_date, backfill.end_date, backfill.max_parallel, backfill.skip_complete)
    return f"backfill/{digest_of(pipeline_id, *asked, dict(parameters))}"
