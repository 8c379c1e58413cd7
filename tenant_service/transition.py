"""A tenant's way from one state to another: a label of its dataset, changed under the dataset's etag."""

from collections.abc import Collection, Mapping

from common.errors import PreconditionLost
from common.tenants.tenant import STATE, State, TenantRecord
from common.warehouse.warehouse import Warehouse
from tenant_service.get_tenant import find_tenant


async def take_to(
    warehouse: Warehouse,
    tenant_id: str,
    state: State,
    *,
    among: Collection[State],
    labels: Mapping[str, str] | None = None,
) -> TenantRecord:
    """Take a tenant to `state` from any of `among`, with other `labels` at once, whatever else changes its labels meanwhile. One that is in
    none of them stays as it is. The tenant as it then is. Raises TenantNotFound, Transient."""
    while True:
        tenant = await find_tenant(warehouse, tenant_id)
        if tenant.state not in among:
            return tenant
        try:
            dataset = await warehouse.set_labels(tenant.dataset, {**(labels or {}), STATE: state})
        except PreconditionLost:
            continue
        return TenantRecord(tenant_id, state, dataset)
