"""The tables outside its dataset that a tenant may read: its setting `sources`."""

from collections.abc import Mapping

from common.clock import Clock
from common.refreshed import RefreshedByTenant
from common.tenants.settings import read_settings, setting_statement
from common.warehouse.warehouse import Statement, TableRef, Warehouse

_SETTING = "sources"

Sources = Mapping[str, TableRef]
"""Name -> table, for example `billing_export` -> `project.dataset.table`."""


class SourceGrants:
    """Every tenant's grants, at most `bound_seconds` old."""

    def __init__(self, warehouse: Warehouse, *, bound_seconds: float, wait_seconds: float, clock: Clock) -> None:
        self._warehouse = warehouse
        self._by_tenant: RefreshedByTenant[Sources] = RefreshedByTenant(
            self._load, bound_seconds=bound_seconds, wait_seconds=wait_seconds, clock=clock
        )

    async def of(self, tenant_id: str) -> Sources:
        """The grants of a tenant that exists. Raises Unavailable."""
        return await self._by_tenant.of(tenant_id).get()

    async def _load(self, tenant_id: str) -> Sources:
        return await read_sources(self._warehouse, tenant_id)


async def read_sources(warehouse: Warehouse, tenant_id: str) -> Sources:
    """The grants as the warehouse has them now. Raises Transient."""
    settings = await read_settings(warehouse, tenant_id)
    return {name: TableRef.parse(table) for name, table in settings.get(_SETTING, {}).items()}


def sources_statement(tenant_id: str, sources: Sources, *, principal: str) -> Statement:
    """The statement that replaces the tenant's grants. It can be repeated."""
    return setting_statement(
        tenant_id, _SETTING, {name: str(table) for name, table in sources.items()}, principal=principal
    )
