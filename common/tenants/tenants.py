"""What running templates needs to know of a tenant: may it start, which tables outside its dataset may it read, is it stopped."""

from common.tenants.directory import TenantDirectory
from common.tenants.sources import SourceGrants, Sources
from common.tenants.tenant import TenantRecord


class Tenants:
    """The tenants as this replica knows them, within the published bound."""

    def __init__(self, directory: TenantDirectory, grants: SourceGrants) -> None:
        self._directory = directory
        self._grants = grants

    async def require_ready(self, tenant_id: str) -> None:
        """Return when new runs may start. Raises TenantNotFound, TenantNotReady, TenantSuspended, Unavailable."""
        await self._directory.require_ready(tenant_id)

    async def require_stopped(self, tenant_id: str) -> TenantRecord:
        """The tenant as it is now, where no new runs may start. Raises TenantNotFound, TenantNotReady, TenantInUse, Unavailable."""
        return await self._directory.require_stopped(tenant_id)

    async def sources(self, tenant_id: str) -> Sources:
        """The tenant's grants: name -> table. Raises Unavailable."""
        return await self._grants.of(tenant_id)
