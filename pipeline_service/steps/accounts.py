"""The account that a step's query runs as: the service's own, or a tenant's, whose key is decrypted here and nowhere else."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from common.credentials.accounts import AccountWarehouses
from common.credentials.service_account import KeyFileRefused, ServiceAccountKey, read_key_file
from common.credentials.store import CredentialStore, credential_context
from common.encryption.cipher import Cipher
from common.errors import AccessRefused, CredentialNotFound, CredentialUnusable
from common.warehouse.warehouse import Warehouse

_KIND = "gcp_service_account"


class TenantAccounts:
    """The accounts whose keys the tenants have stored. One for the process; keeps no secret."""

    def __init__(
        self,
        *,
        warehouses: AccountWarehouses,
        credentials: CredentialStore,
        cipher: Cipher,
        token_uris: Collection[str],
    ) -> None:
        self._warehouses = warehouses
        self._credentials = credentials
        self._cipher = cipher
        self._token_uris = token_uris

    @asynccontextmanager
    async def open(self, tenant_id: str, name: str) -> AsyncIterator[Warehouse]:
        """The warehouse as the account of the tenant's credential of that name.

        Raises CredentialNotFound, CredentialUnusable (also for what that account is refused within the block), DecryptionFailed,
        DependencyRefused, Transient, Unavailable.
        """
        key = await self._key(tenant_id, name)
        try:
            async with self._warehouses.open(key) as warehouse:
                yield warehouse
        except AccessRefused as error:  # not as the cause, which may hold what that account was answered
            raise CredentialUnusable(name, f"The credential {name} cannot be used: {error.message}") from None

    async def _key(self, tenant_id: str, name: str) -> ServiceAccountKey:
        stored = await self._credentials.current(tenant_id, name)
        if stored is None:
            raise CredentialNotFound
        if stored.kind != _KIND:
            raise CredentialUnusable(name, f"The credential {name} is no service account's")
        text = await self._cipher.decrypt_value(stored.ciphertext, credential_context(tenant_id, stored.credential_id))
        try:
            return read_key_file(text, self._token_uris)
        except KeyFileRefused:
            raise CredentialUnusable(name, f"The credential {name} is not allowed here any more") from None


class StepAccounts:
    """The accounts that queries may run as."""

    def __init__(self, own: Warehouse, tenants: TenantAccounts | None) -> None:
        """`tenants` is None for a warehouse that knows no accounts."""
        self._own = own
        self._tenants = tenants

    @asynccontextmanager
    async def warehouse(self, tenant_id: str, credential: str | None) -> AsyncIterator[Warehouse]:
        """The warehouse as the account that the step names, and as our own only where it names none. Raises as TenantAccounts.open."""
        if credential is None:
            yield self._own
        elif self._tenants is None:
            message = "This warehouse has no accounts: a step that names a credential cannot run here"
            raise CredentialUnusable(credential, message)
        else:
            async with self._tenants.open(tenant_id, credential) as warehouse:
                yield warehouse
