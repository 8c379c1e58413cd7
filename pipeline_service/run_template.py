"""RunTemplate: start a run of a template for a tenant, or join the one that is active. No warehouse call on this path."""

from collections.abc import Mapping
from dataclasses import dataclass

from common.fields import Fields
from common.ids import PATH_NAME
from common.rpc.caller import Caller
from common.templates.catalog import Catalog
from common.templates.parameter_spec import MAX_CHARACTERS
from common.templates.template import TemplateName
from common.tenants.tenants import Tenants
from pipeline_service.budgets import Budgets
from pipeline_service.engine import Started
from pipeline_service.planning import Planner
from pipeline_service.request_record import Requests, digest_of, request_key

DEFAULT_TRIGGER = "api"
MAX_TRIGGER_CHARACTERS = 200
MAX_PARAMETERS = 100


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a run may be given, whichever way its template is named. Empty texts stand for nothing given."""

    date: str
    trigger_by: str
    parameters: Mapping[str, str]
    request_id: str

    def check(self, fields: Fields) -> None:
        """Note every violation."""
        fields.optional_day("date", self.date)
        fields.text("trigger_by", self.trigger_by, max_characters=MAX_TRIGGER_CHARACTERS)
        if len(self.parameters) > MAX_PARAMETERS:
            fields.violation("parameters", f"must be at most {MAX_PARAMETERS}")
        for name, value in sorted(self.parameters.items()):  # a map comes in any order
            if name == "date":
                fields.violation("parameters.date", "belongs into the field date")
            elif not PATH_NAME.fullmatch(name):
                fields.violation(f"parameters.{name[:100]}", f"is no parameter's name: {PATH_NAME.pattern}")
            elif len(value) > MAX_CHARACTERS:
                fields.violation(f"parameters.{name}", f"must be at most {MAX_CHARACTERS} characters")
        fields.request_id(self.request_id)


class RunTemplate:
    """The use case."""

    def __init__(
        self, *, catalog: Catalog, tenants: Tenants, planner: Planner, budgets: Budgets, requests: Requests
    ) -> None:
        self._catalog = catalog
        self._tenants = tenants
        self._planner = planner
        self._budgets = budgets
        self._requests = requests

    async def __call__(
        self, caller: Caller, *, tenant_id: str, provider: str, domain: str, template_name: str, options: RunOptions
    ) -> Started:
        """Check every field, then start or join. Raises InvalidInput and what `start` raises."""
        fields = Fields()
        fields.tenant_id(tenant_id)
        fields.template(provider, domain, template_name)
        options.check(fields)
        fields.require_valid()
        return await self.start(caller, tenant_id, TemplateName(provider, domain, template_name), options)

    async def start(self, caller: Caller, tenant_id: str, template: TemplateName, options: RunOptions) -> Started:
        """Start or join, the fields being good.

        Raises TenantMismatch, RequestIdReused, TenantNotFound, TenantNotReady, TenantSuspended, TemplateNotFound, TemplateInvalid,
        InvalidInput, TableNotAllowed, SourceNotGranted, PlanTooLarge, PipelineBusy, BudgetExceeded, Unavailable.
        """
        caller.require_tenant(tenant_id)
        key = request_key(tenant_id, options.request_id) if options.request_id else None
        trigger_by = options.trigger_by or DEFAULT_TRIGGER
        digest = digest_of(*template, options.date, trigger_by, dict(options.parameters))
        # A repeat is answered whatever has become of tenant and template since.
        if (answer := await self._requests.answered(key, digest)) is not None:
            return answer
        await self._tenants.require_ready(tenant_id)
        plan = await self._planner.plan(
            self._catalog.get(template),
            tenant_id=tenant_id,
            date=options.date,
            parameters=options.parameters,
            trigger_by=trigger_by,
            principal=caller.principal,
        )
        await self._budgets.require_left(plan)
        return await self._requests.start(key, digest, plan.workflow_id, plan)
