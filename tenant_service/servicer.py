"""TenantService on the wire: unpack, call the use case, pack."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from common.rpc.around import Context
from common.rpc.caller import current_caller
from common.rpc.times import wire_duration, wire_time
from convergence.tenant.v1 import api_key_pb2, audit_record_pb2, credential_pb2, maintenance_pb2, tenant_pb2
from convergence.tenant.v1 import tenant_service_pb2 as pb2
from convergence.tenant.v1.tenant_service_pb2_grpc import TenantServiceServicer
from tenant_service.convert.audit import audit_records_to_proto
from tenant_service.convert.credentials import credential_to_proto, credentials_to_proto, given_credential
from tenant_service.convert.keys import created_to_proto, key_to_proto, keys_to_proto, rotated_to_proto
from tenant_service.convert.maintenance import migration_to_proto, rewrapping_to_proto
from tenant_service.convert.tenants import onboarded_to_proto, tenant_to_proto, tenants_to_proto
from tenant_service.create_key import CreateKey
from tenant_service.delete_credential import DeleteCredential
from tenant_service.delete_tenant import DeleteTenant
from tenant_service.get_tenant import GetTenant
from tenant_service.list_audit_records import ListAuditRecords
from tenant_service.list_credentials import ListCredentials
from tenant_service.list_keys import ListKeys
from tenant_service.list_tenants import ListTenants
from tenant_service.migrate_tenants import MigrateTenants
from tenant_service.onboard import Onboard
from tenant_service.put_credential import PutCredential
from tenant_service.revoke_key import RevokeKey
from tenant_service.rewrap_secrets import RewrapSecrets
from tenant_service.rotate_key import RotateKey
from tenant_service.set_sources import SetSources
from tenant_service.suspend_tenant import ResumeTenant, SuspendTenant


@dataclass(frozen=True, slots=True)
class UseCases:
    """What the handlers call."""

    onboard: Onboard
    get_tenant: GetTenant
    set_sources: SetSources
    list_tenants: ListTenants
    suspend_tenant: SuspendTenant
    resume_tenant: ResumeTenant
    delete_tenant: DeleteTenant
    migrate_tenants: MigrateTenants
    rewrap_secrets: RewrapSecrets
    create_key: CreateKey
    rotate_key: RotateKey
    revoke_key: RevokeKey
    list_keys: ListKeys
    put_credential: PutCredential
    list_credentials: ListCredentials
    delete_credential: DeleteCredential
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

    async def ListTenants(self, request: pb2.ListTenantsRequest, context: Context) -> pb2.ListTenantsResponse:
        """List tenants."""
        page = await self._use_cases.list_tenants(page_size=request.page_size, page_token=request.page_token)
        return tenants_to_proto(page)

    async def SuspendTenant(self, request: pb2.SuspendTenantRequest, context: Context) -> tenant_pb2.Tenant:
        """Suspend a tenant."""
        view = await self._use_cases.suspend_tenant(
            current_caller(), tenant_id=request.tenant_id, request_id=request.request_id
        )
        return tenant_to_proto(view)

    async def ResumeTenant(self, request: pb2.ResumeTenantRequest, context: Context) -> tenant_pb2.Tenant:
        """Resume a tenant."""
        view = await self._use_cases.resume_tenant(
            current_caller(), tenant_id=request.tenant_id, request_id=request.request_id
        )
        return tenant_to_proto(view)

    async def DeleteTenant(self, request: pb2.DeleteTenantRequest, context: Context) -> tenant_pb2.Tenant:
        """Delete a tenant."""
        view = await self._use_cases.delete_tenant(
            current_caller(),
            tenant_id=request.tenant_id,
            confirmation=request.confirmation,
            request_id=request.request_id,
        )
        return tenant_to_proto(view)

    async def CreateKey(self, request: api_key_pb2.CreateKeyRequest, context: Context) -> api_key_pb2.CreateKeyResponse:
        """Make a key."""
        created = await self._use_cases.create_key(
            current_caller(),
            tenant_id=request.tenant_id,
            scopes=list(request.scopes),
            expire_time=wire_time(request, "expire_time"),
            display_name=request.display_name,
            request_id=request.request_id,
        )
        return created_to_proto(created)

    async def RotateKey(self, request: api_key_pb2.RotateKeyRequest, context: Context) -> api_key_pb2.RotateKeyResponse:
        """Put a new key in another's place."""
        rotated = await self._use_cases.rotate_key(
            current_caller(),
            tenant_id=request.tenant_id,
            key_id=request.key_id,
            grace_period=wire_duration(request, "grace_period"),
            request_id=request.request_id,
        )
        return rotated_to_proto(rotated)

    async def RevokeKey(self, request: api_key_pb2.RevokeKeyRequest, context: Context) -> api_key_pb2.RevokeKeyResponse:
        """Revoke a key, or all."""
        keys = await self._use_cases.revoke_key(
            current_caller(),
            tenant_id=request.tenant_id,
            key_id=request.key_id,
            every_key=request.all,
            request_id=request.request_id,
        )
        return api_key_pb2.RevokeKeyResponse(keys=map(key_to_proto, keys))

    async def ListKeys(self, request: api_key_pb2.ListKeysRequest, context: Context) -> api_key_pb2.ListKeysResponse:
        """List a tenant's keys."""
        page = await self._use_cases.list_keys(
            current_caller(),
            tenant_id=request.tenant_id,
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return keys_to_proto(page)

    async def PutCredential(
        self, request: credential_pb2.PutCredentialRequest, context: Context
    ) -> credential_pb2.Credential:
        """Store a cloud credential."""
        stored = await self._use_cases.put_credential(
            current_caller(),
            tenant_id=request.tenant_id,
            name=request.name,
            given=given_credential(request),
            request_id=request.request_id,
        )
        return credential_to_proto(stored)

    async def ListCredentials(
        self, request: credential_pb2.ListCredentialsRequest, context: Context
    ) -> credential_pb2.ListCredentialsResponse:
        """List cloud credentials, without the secrets."""
        page = await self._use_cases.list_credentials(
            current_caller(),
            tenant_id=request.tenant_id,
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return credentials_to_proto(page)

    async def DeleteCredential(
        self, request: credential_pb2.DeleteCredentialRequest, context: Context
    ) -> credential_pb2.Credential:
        """Delete a cloud credential."""
        deleted = await self._use_cases.delete_credential(
            current_caller(), tenant_id=request.tenant_id, name=request.name, request_id=request.request_id
        )
        return credential_to_proto(deleted)

    async def ListAuditRecords(
        self, request: audit_record_pb2.ListAuditRecordsRequest, context: Context
    ) -> audit_record_pb2.ListAuditRecordsResponse:
        """List what was done to a tenant."""
        page = await self._use_cases.list_audit_records(
            current_caller(),
            tenant_id=request.tenant_id,
            start_time=wire_time(request, "start_time"),
            end_time=wire_time(request, "end_time"),
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
