"""TenantService on the wire: unpack, call the use case, pack."""

from dataclasses import dataclass

from common.rpc.around import Context
from common.rpc.caller import current_caller
from convergence.tenant.v1 import tenant_pb2
from convergence.tenant.v1 import tenant_service_pb2 as pb2
from convergence.tenant.v1.tenant_service_pb2_grpc import TenantServiceServicer
from tenant_service.convert.tenants import onboarded_to_proto, tenant_to_proto
from tenant_service.get_tenant import GetTenant
from tenant_service.onboard import Onboard
from tenant_service.set_sources import SetSources


@dataclass(frozen=True, slots=True)
class UseCases:
    """What the handlers call."""

    onboard: Onboard
    get_tenant: GetTenant
    set_sources: SetSources


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
