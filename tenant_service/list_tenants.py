"""Lists tenants, in whatever state, from one listing of the datasets."""

from common.fields import Fields
from common.paging import Page, cut_page, page_request
from common.tenants.tenant import MARK, TenantRecord, tenant_of
from common.warehouse.warehouse import Warehouse


class ListTenants:
    """The use case; one for the process."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    async def __call__(self, *, page_size: int, page_token: str) -> Page[TenantRecord]:
        """A page of the tenants by id. Of their datasets the labels are known, and nothing else. Raises InvalidInput, Transient."""
        fields = Fields()
        request = page_request(fields, page_size=page_size, page_token=page_token, bound_to="ListTenants")
        fields.require_valid()
        datasets = await self._warehouse.list_datasets(label=MARK)
        tenants = [tenant for dataset in datasets if (tenant := tenant_of(dataset)) is not None]
        return cut_page(tenants, request, lambda tenant: (tenant.tenant_id,))
