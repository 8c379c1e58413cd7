"""Lists a tenant's keys, without the keys."""

from common.api_keys.store import KeyStore
from common.fields import Fields
from common.paging import Key, Page, Place, cut_page, page_request
from common.rpc.caller import Caller
from common.warehouse.warehouse import Warehouse
from tenant_service.get_tenant import require_tenant
from tenant_service.key_view import KeyView, RotationPolicy


class ListKeys:
    """The use case; one for the process."""

    def __init__(self, *, warehouse: Warehouse, keys: KeyStore, policy: RotationPolicy) -> None:
        self._warehouse = warehouse
        self._keys = keys
        self._policy = policy

    async def __call__(self, caller: Caller, *, tenant_id: str, page_size: int, page_token: str) -> Page[KeyView]:
        """A page of the keys, the oldest first. Raises InvalidInput, TenantMismatch, TenantNotFound, TenantNotReady, Transient."""
        fields = Fields()
        fields.tenant_id(tenant_id)
        page = page_request(
            fields, page_size=page_size, page_token=page_token, bound_to=["ListKeys", tenant_id], key_length=2
        )
        fields.require_valid()
        caller.require_tenant(tenant_id)
        await require_tenant(self._warehouse, tenant_id)
        return cut_page(map(self._policy.view, await self._keys.details(tenant_id)), page, _place)


def _place(key: KeyView) -> Key:
    return Place(key.details.create_time, key.details.key_id).key
