"""The process-wide list of tenants. A name that is not in it costs at most one listing a second, whoever asks and for whatever names."""

from collections.abc import Mapping

from common.clock import Clock
from common.errors import TenantInUse, TenantNotFound, TenantNotReady, TenantSuspended
from common.lookups import Lookups
from common.refreshed import Refreshed
from common.tenants.tenant import MARK, TenantRecord, tenant_of
from common.warehouse.warehouse import Warehouse


class TenantDirectory:
    """Every tenant's state, at most `bound_seconds` old."""

    def __init__(self, warehouse: Warehouse, *, bound_seconds: float, wait_seconds: float, clock: Clock) -> None:
        self._warehouse = warehouse
        self.lookups = Lookups()
        """How often `find` knew the tenant."""
        self._tenants = Refreshed(
            self._load, bound_seconds=bound_seconds, wait_seconds=wait_seconds, clock=clock, lookups=self.lookups
        )

    async def find(self, tenant_id: str) -> TenantRecord | None:
        """The tenant, or None when there is none whose keys are accepted. Raises Unavailable.

        A tenant that is not known as such is looked up again first, since it may just have been onboarded or resumed.
        """

        def authenticating(tenants: Mapping[str, TenantRecord]) -> TenantRecord | None:
            tenant = tenants.get(tenant_id)
            return tenant if tenant is not None and tenant.authenticates else None

        return await self._tenants.find(authenticating)

    async def require_ready(self, tenant_id: str) -> None:
        """Return when new runs may start for the tenant. Raises TenantNotFound, TenantNotReady, TenantSuspended, Unavailable."""
        as_called = self._tenants.reads_begun
        tenant = (await self._tenants.get()).get(tenant_id)
        if tenant is None or tenant.state != "ready":
            tenant = (await self._tenants.get_newer(as_called)).get(tenant_id)
        if tenant is None or tenant.state in ("deleting", "deleted"):
            raise TenantNotFound
        if tenant.state == "creating":
            raise TenantNotReady
        if tenant.state == "suspended":
            raise TenantSuspended

    async def require_stopped(self, tenant_id: str) -> TenantRecord:
        """The tenant, by a listing that begins from now on, where it is in a state in which no run may start.

        Raises TenantNotFound, TenantNotReady, TenantInUse, Unavailable.
        """
        tenant = (await self._tenants.get_newer(self._tenants.reads_begun)).get(tenant_id)
        if tenant is None:
            raise TenantNotFound
        if tenant.state == "creating":
            raise TenantNotReady
        if tenant.state == "ready":
            raise TenantInUse
        return tenant

    def forget(self) -> None:
        """What has been listed counts no more: for a caller who has just changed a tenant's state, and then goes by it at once."""
        self._tenants.forget()

    async def _load(self) -> Mapping[str, TenantRecord]:
        datasets = await self._warehouse.list_datasets(label=MARK)
        return {tenant.tenant_id: tenant for dataset in datasets if (tenant := tenant_of(dataset)) is not None}
