"""Onboards a tenant: claim the dataset, create the tables, make the key, grant the sources, mark ready, prove it with a dry run.

Every step can be repeated, by anybody and at the same time: an onboarding that was cut off is completed by calling again.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from common.api_keys.changes import KeySpec
from common.audit import AuditLog, Recording
from common.fields import Fields
from common.rpc.caller import Caller
from common.secret import Secret
from common.templates.onboarding import OnboardingTemplate
from common.tenants.settings import read_settings, setting_statement
from common.tenants.sources import Sources, sources_statement
from common.tenants.tenant import TenantRecord
from common.warehouse.effects import Effects
from common.warehouse.warehouse import TableRef, Warehouse
from tenant_service.acts import Act, entry_of
from tenant_service.claim import Claims, RequestDigests, claim_of
from tenant_service.dry_run import DryRun, DryRunStatus
from tenant_service.key_id import key_id_of
from tenant_service.minting import Minting
from tenant_service.schema import Schema
from tenant_service.source_tables import parse_sources, require_grantable

TABLES_REPORTED = ("api_keys", "cloud_credentials", "pipeline_runs", "step_logs", "dq_results")
"""The metadata tables that an onboarding names; the onboarding template lists others beside them."""
_DRY_RUN_SETTING = "dry_run_status"


@dataclass(frozen=True, slots=True)
class Onboarded:
    """The answer of an onboarding. `api_key` is shown this once."""

    tenant_id: str
    api_key: Secret
    dry_run_status: DryRunStatus


class Onboard:
    """The use case; one for the process."""

    def __init__(
        self,
        *,
        warehouse: Warehouse,
        own_project: str,
        template: OnboardingTemplate,
        claims: Claims,
        minting: Minting,
        dry_run: DryRun,
        effects: Effects,
        audit: AuditLog,
        schema: Schema,
    ) -> None:
        self._warehouse = warehouse
        self._own_project = own_project
        self._template = template
        self._claims = claims
        self._minting = minting
        self._dry_run = dry_run
        self._effects = effects
        self._audit = audit
        self._schema = schema

    async def __call__(
        self, caller: Caller, *, tenant_id: str, sources: Mapping[str, str], request_id: str
    ) -> Onboarded:
        """Onboard a tenant, complete its onboarding, or answer again.

        Raises InvalidInput, TableNotAllowed, RequestIdReused, TenantExists, DatasetTaken, TenantSchemaConflict, TenantNotFound (somebody
        began to delete it), Transient, Unavailable, DependencyRefused.
        """
        fields = Fields()
        fields.tenant_id(tenant_id)
        fields.request_id(request_id)
        granted = parse_sources(fields, sources, own_project=self._own_project)
        fields.require_valid()
        request = RequestDigests.of(principal=caller.principal, request_id=request_id, sources=sources)
        async with self._audit.recording(entry_of(caller, Act("Onboard", tenant_id))) as recording:
            await require_grantable(self._warehouse, granted)
            return await self._onboard(caller, tenant_id, request, granted, recording)

    async def _onboard(
        self, caller: Caller, tenant_id: str, request: RequestDigests, granted: Sources, recording: Recording
    ) -> Onboarded:
        tenant = await self._claims.claim(
            tenant_id,
            request,
            location=self._template.location,
            labels=self._template.labels,
            description=self._template.description,
        )
        claim = claim_of(tenant.dataset)
        if tenant.state == "creating":
            await self._schema.complete(tenant_id)
        else:
            await self._schema.bring_up(tenant)
        await recording.attempt()  # no earlier: until here the name may be another's, or have no table to record it in
        key = await self._obtain_key(caller, tenant_id, claim)
        if tenant.state == "creating":
            await self._make_ready(caller, tenant, request, granted or self._default_sources(tenant_id))
        return Onboarded(tenant_id, key, await self._dry_run_once(caller, tenant_id, key, claim=claim))

    async def _obtain_key(self, caller: Caller, tenant_id: str, claim: str) -> Secret:
        """The tenant's first key: one, however often and by however many at the same time its onboarding is repeated."""
        effect_id, spec = f"onboard_{tenant_id}_{claim}_key", KeySpec("onboarding", self._template.scopes)
        details = await self._minting.obtain(effect_id, tenant_id, key_id_of(claim), spec, principal=caller.principal)
        return await self._minting.in_clear(caller, details)

    async def _make_ready(
        self, caller: Caller, tenant: TenantRecord, request: RequestDigests, sources: Sources
    ) -> None:
        statement = sources_statement(tenant.tenant_id, sources, principal=caller.principal)
        await self._effects.run(f"onboard_{tenant.tenant_id}_{request.identity}_sources", statement)
        await self._claims.make_ready(tenant.tenant_id, schema_version=self._schema.version)

    async def _dry_run_once(self, caller: Caller, tenant_id: str, key: Secret, *, claim: str) -> DryRunStatus:
        """The dry run's status: as it was kept, or after running it now."""
        status: DryRunStatus | None = (await read_settings(self._warehouse, tenant_id)).get(_DRY_RUN_SETTING)
        if status is not None:
            return status
        status = await self._dry_run.run(tenant_id, key)
        statement = setting_statement(tenant_id, _DRY_RUN_SETTING, status, principal=caller.principal)
        await self._effects.run(f"onboard_{tenant_id}_{claim}_dry_run", statement)
        return status

    def _default_sources(self, tenant_id: str) -> Sources:
        return {name: TableRef.parse(table) for name, table in self._template.sources_of(tenant_id).items()}
