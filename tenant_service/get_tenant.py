"""Reads a tenant as the warehouse has it now."""

from dataclasses import dataclass

from common.errors import ObjectNotFound, TenantNotFound, TenantNotReady
from common.fields import Fields
from common.rpc.caller import Caller
from common.tenants.sources import Sources, read_sources
from common.tenants.tenant import TenantRecord, tenant_of
from common.warehouse.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class TenantView:
    """A tenant's state and settings."""

    tenant: TenantRecord
    sources: Sources


class GetTenant:
    """The use case; one for the process."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    async def __call__(self, caller: Caller, *, tenant_id: str) -> TenantView:
        """Read a tenant. Raises InvalidInput, TenantMismatch, TenantNotFound, Transient."""
        fields = Fields()
        fields.tenant_id(tenant_id)
        fields.require_valid()
        caller.require_tenant(tenant_id)
        return await read_tenant(self._warehouse, tenant_id)


async def read_tenant(warehouse: Warehouse, tenant_id: str) -> TenantView:
    """A tenant and its sources. Raises TenantNotFound, Transient."""
    return TenantView(await find_tenant(warehouse, tenant_id), await read_sources(warehouse, tenant_id))


async def find_tenant(warehouse: Warehouse, tenant_id: str) -> TenantRecord:
    """A tenant in whatever state. Raises TenantNotFound, for a name that is nobody's and for a dataset without our mark; Transient."""
    try:
        dataset = await warehouse.get_dataset(tenant_id)
    except ObjectNotFound as error:
        raise TenantNotFound from error
    tenant = tenant_of(dataset)
    if tenant is None:
        raise TenantNotFound
    return tenant


async def require_tenant(warehouse: Warehouse, tenant_id: str) -> TenantRecord:
    """A tenant whose onboarding has finished and that is not deleted. Raises TenantNotFound, TenantNotReady, Transient."""
    tenant = await find_tenant(warehouse, tenant_id)
    if tenant.state == "creating":
        raise TenantNotReady
    if not tenant.authenticates:
        raise TenantNotFound
    return tenant
