"""Lists a tenant's credentials, without the credentials."""

from common.credentials.store import CredentialStore, StoredCredential
from common.fields import Fields
from common.paging import Page, cut_page, page_request
from common.rpc.caller import Caller
from common.warehouse.warehouse import Warehouse
from tenant_service.get_tenant import require_tenant


class ListCredentials:
    """The use case; one for the process. Decrypts nothing."""

    def __init__(self, *, warehouse: Warehouse, credentials: CredentialStore) -> None:
        self._warehouse = warehouse
        self._credentials = credentials

    async def __call__(
        self, caller: Caller, *, tenant_id: str, page_size: int, page_token: str
    ) -> Page[StoredCredential]:
        """A page of the current versions, by name. Raises InvalidInput, TenantMismatch, TenantNotFound, TenantNotReady, Transient."""
        fields = Fields()
        fields.tenant_id(tenant_id)
        page = page_request(fields, page_size=page_size, page_token=page_token, bound_to=["ListCredentials", tenant_id])
        fields.require_valid()
        caller.require_tenant(tenant_id)
        await require_tenant(self._warehouse, tenant_id)
        versions = await self._credentials.versions(tenant_id)
        return cut_page((each for each in versions if each.is_live), page, lambda each: (each.name,))
