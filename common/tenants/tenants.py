"""What running a template needs to know of a tenant, from memory: may it start, and which tables outside its dataset may it read."""

from common.tenants.directory import TenantDirectory
from common.tenants.sources import SourceGrants, Sources


class Tenants:
    """The tenants as this replica knows them, within the published bound."""

    def __init__(self, directory: TenantDirectory, grants: SourceGrants) -> None:
        self._directory = directory
        self._grants = grants

    async def require_ready(self, tenant_id: str) -> None:
        """Return when new runs may start. Raises TenantNotFound, TenantNotReady, TenantSuspended, Unavailable."""
        await self._directory.require_ready(tenant_id)

    async def sources(self, tenant_id: str) -> Sources:
        """The tenant's grants: name -> table. Raises Unavailable."""
        return await self._grants.of(tenant_id)
