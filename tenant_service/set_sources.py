"""Replaces the tables outside its dataset that a tenant may read."""

from collections.abc import Mapping

from common.fields import Fields
from common.rpc.caller import Caller
from common.tenants.sources import Sources, sources_statement
from common.warehouse.effects import Effects
from common.warehouse.warehouse import Warehouse
from tenant_service.acts import Act, Acts, Turn
from tenant_service.get_tenant import TenantView, read_tenant
from tenant_service.source_tables import parse_sources, require_grantable


class SetSources:
    """The use case; one for the process."""

    def __init__(self, *, warehouse: Warehouse, own_project: str, acts: Acts, effects: Effects) -> None:
        self._warehouse = warehouse
        self._own_project = own_project
        self._acts = acts
        self._effects = effects

    async def __call__(
        self, caller: Caller, *, tenant_id: str, sources: Mapping[str, str], request_id: str
    ) -> TenantView:
        """Replace all grants. Raises InvalidInput, TableNotAllowed, RequestIdReused, TenantNotFound, TenantNotReady, Unavailable.

        A repeat with the same `request_id` is not applied again, so it cannot undo what was set since.
        """
        fields = Fields()
        fields.tenant_id(tenant_id)
        fields.request_id(request_id)
        granted = parse_sources(fields, sources, own_project=self._own_project)
        fields.require_valid()

        async def replace(turn: Turn) -> TenantView:
            await require_grantable(self._warehouse, granted)
            return await self._replace(caller, turn, granted)

        act = Act("SetSources", tenant_id, request_id=request_id, fields={"sources": dict(sources)})
        return await self._acts.do(caller, act, replace)

    async def _replace(self, caller: Caller, turn: Turn, granted: Sources) -> TenantView:
        tenant_id = turn.tenant.tenant_id
        statement = sources_statement(tenant_id, granted, principal=caller.principal)
        await self._effects.run(f"sources_{tenant_id}_{turn.act_id}", statement)
        return await read_tenant(self._warehouse, tenant_id)
