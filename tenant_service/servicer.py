"""TenantService on the wire: unpack, call the use case, pack."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from common.rpc.around import Context
from common.rpc.caller import current_caller
from convergence.tenant.v1 import audit_record_pb2, maintenance_pb2, tenant_pb2
from convergence.tenant.v1 import tenant_service_pb2 as pb2
from convergence.tenant.v1.tenant_service_pb2_grpc import TenantServiceServicer
from tenant_service.convert.audit import audit_records_to_proto, wire_time
from tenant_service.convert.maintenance import migration_to_proto, rewrapping_to_proto
from tenant_service.convert.tenants import onboarded_to_proto, tenant_to_proto
from tenant_service.get_tenant import GetTenant
from tenant_service.list_audit_records import ListAuditRecords
from tenant_service.migrate_tenants import MigrateTenants
from tenant_service.onboard import Onboard
from tenant_service.rewrap_secrets import RewrapSecrets
from tenant_service.set_sources import SetSources


@dataclass(frozen=True, slots=True)
class UseCases:
    """What the handlers call."""

    onboard: Onboard
    get_tenant: GetTenant
    set_sources: SetSources
    migrate_tenants: MigrateTenants
    rewrap_secrets: RewrapSecrets
    list_audit_records: ListAuditRecords


class TenantServicer(TenantServiceServicer):
    """The handlers. Authentication and errors are the interceptors'."""

    def __init__(self, use_cases: UseCases) -> None:
        self._use_cases = use_cases

    async def Onboard(self, request: pb2.OnboardRequest, context: Context) -> pb2.OnboardResponse:
        """Onboard a tenant."""
        onboarded = await self._use_cases.onboard(
            current_caller(),
            tenant_id=request.tenant_id,
            sources=dict(request.sources),
            request_id=request.request_id,
        )
        return onboarded_to_proto(onboarded)

    async def GetTenant(self, request: pb2.GetTenantRequest, context: Context) -> tenant_pb2.Tenant:
        """Read a tenant."""
        return tenant_to_proto(await self._use_cases.get_tenant(current_caller(), tenant_id=request.tenant_id))

    async def SetSources(self, request: pb2.SetSourcesRequest, context: Context) -> tenant_pb2.Tenant:
        """Replace a tenant's sources."""
        view = await self._use_cases.set_sources(
            current_caller(),
            tenant_id=request.tenant_id,
            sources=dict(request.sources),
            request_id=request.request_id,
        )
        return tenant_to_proto(view)

    async def ListAuditRecords(
        self, request: audit_record_pb2.ListAuditRecordsRequest, context: Context
    ) -> audit_record_pb2.ListAuditRecordsResponse:
        """List what was done to a tenant."""
        page = await self._use_cases.list_audit_records(
            current_caller(),
            tenant_id=request.tenant_id,
            start_time=wire_time(request.start_time) if request.HasField("start_time") else None,
            end_time=wire_time(request.end_time) if request.HasField("end_time") else None,
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return audit_records_to_proto(page)

    async def RewrapSecrets(
        self, request: maintenance_pb2.RewrapSecretsRequest, context: Context
    ) -> AsyncIterator[maintenance_pb2.RewrapSecretsResponse]:
        """Encrypt secrets anew under the current version of the KMS key."""
        rewrappings = self._use_cases.rewrap_secrets(current_caller(), tenant_id=request.tenant_id)
        async with aclosing(rewrappings):
            async for progress in rewrappings:
                yield rewrapping_to_proto(progress)

    async def MigrateTenants(
        self, request: maintenance_pb2.MigrateTenantsRequest, context: Context
    ) -> AsyncIterator[maintenance_pb2.MigrateTenantsResponse]:
        """Bring the metadata tables of tenants to this server's version."""
        migrations = self._use_cases.migrate_tenants(current_caller(), tenant_id=request.tenant_id)
        async with aclosing(migrations):
            async for progress in migrations:
                yield migration_to_proto(progress)
