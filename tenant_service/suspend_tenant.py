"""Suspending a tenant, and resuming it: no new runs in between, all else goes on."""

from common.errors import TenantNotFound
from common.fields import Fields
from common.rpc.caller import Caller
from common.tenants.tenant import State
from common.warehouse.warehouse import Warehouse
from tenant_service.acts import Act, Acts, Turn
from tenant_service.get_tenant import TenantView, read_tenant
from tenant_service.transition import take_to


class SuspendTenant:
    """The use case; one for the process. A tenant that is suspended stays so."""

    _method = "SuspendTenant"
    _from: State = "ready"
    _to: State = "suspended"

    def __init__(self, *, warehouse: Warehouse, acts: Acts) -> None:
        self._warehouse = warehouse
        self._acts = acts

    async def __call__(self, caller: Caller, *, tenant_id: str, request_id: str) -> TenantView:
        """Change the tenant's state. Raises InvalidInput, RequestIdReused, TenantNotFound, TenantNotReady, Unavailable.

        A repeat with the same `request_id` is not applied again, so it cannot undo what was done since.
        """
        fields = Fields()
        fields.tenant_id(tenant_id)
        fields.request_id(request_id)
        fields.require_valid()
        caller.require_tenant(tenant_id)
        return await self._acts.do(caller, Act(self._method, tenant_id, request_id=request_id), self._change)

    async def _change(self, turn: Turn) -> TenantView:
        tenant_id = turn.tenant.tenant_id
        if not turn.repeated:
            tenant = await take_to(self._warehouse, tenant_id, self._to, among={self._from})
            if not tenant.authenticates:  # somebody began to delete it
                raise TenantNotFound
        return await read_tenant(self._warehouse, tenant_id)


class ResumeTenant(SuspendTenant):
    """The same, the other way round. A tenant that is in use stays so."""

    _method = "ResumeTenant"
    _from: State = "suspended"
    _to: State = "ready"
