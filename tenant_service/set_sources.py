"""Replaces the tables outside its dataset that a tenant may read."""

from collections.abc import Mapping

from common.errors import TenantNotFound, TenantNotReady
from common.fields import Fields
from common.rpc.caller import Caller
from common.tenants.sources import sources_statement
from common.warehouse.warehouse import Warehouse
from tenant_service.claim import RequestDigests
from tenant_service.effects import Effects
from tenant_service.get_tenant import TenantView, read_tenant
from tenant_service.source_tables import parse_sources, require_grantable


class SetSources:
    """The use case; one for the process."""

    def __init__(self, *, warehouse: Warehouse, own_project: str, effects: Effects) -> None:
        self._warehouse = warehouse
        self._own_project = own_project
        self._effects = effects

    async def __call__(
        self, caller: Caller, *, tenant_id: str, sources: Mapping[str, str], request_id: str
    ) -> TenantView:
        """Replace all grants. Raises InvalidInput, TableNotAllowed, TenantNotFound, TenantNotReady, Transient.

        A repeat with the same `request_id` is not applied again, so it cannot undo what was set since.
        """
        fields = Fields()
        fields.tenant_id(tenant_id)
        fields.request_id(request_id)
        granted = parse_sources(fields, sources, own_project=self._own_project)
        fields.require_valid()
        view = await read_tenant(self._warehouse, tenant_id)
        if view.tenant.state == "deleted":
            raise TenantNotFound
        if view.tenant.state == "creating":
            raise TenantNotReady
        await require_grantable(self._warehouse, granted)
        statement = sources_statement(tenant_id, granted, principal=caller.principal)
        request = RequestDigests.of(principal=caller.principal, request_id=request_id, sources=sources)
        await self._effects.run(f"sources_{tenant_id}_{request.identity}_{request.body}", statement)
        return TenantView(view.tenant, granted)
