"""The table `api_keys` of each tenant, read without a query job."""

from collections.abc import Sequence

from common.api_keys.details import KeyDetails, details_from
from common.api_keys.hashing import ALGORITHM
from common.api_keys.record import KeySet, record_from
from common.encryption.cipher import Context
from common.errors import ObjectNotFound
from common.warehouse.warehouse import Row, TableRef, Warehouse

KEYS_TABLE = "api_keys"
_PURPOSE = "api_key"


def key_context(tenant_id: str, key_id: str) -> Context:
    """What a key's ciphertext is bound to: it decrypts for no other tenant and no other row."""
    return Context(tenant_id=tenant_id, table=KEYS_TABLE, row_id=key_id, purpose=_PURPOSE)


class KeyStore:
    """Reads keys, as the warehouse has them now. Safe to use from many tasks at once."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    async def load(self, tenant_id: str) -> KeySet:
        """All keys of a tenant by digest; empty where the tenant has no such table yet. Raises Transient."""
        records = (record_from(row) for row in await self._rows(tenant_id) if row["hash_algorithm"] == ALGORITHM)
        return {record.digest: record for record in records}

    async def details(self, tenant_id: str) -> Sequence[KeyDetails]:
        """All keys of a tenant, the oldest first; none where the tenant has no such table yet. Raises Transient."""
        keys = map(details_from, await self._rows(tenant_id))
        return sorted(keys, key=lambda key: (key.create_time, key.key_id))

    async def find(self, tenant_id: str, key_id: str) -> KeyDetails | None:
        """One key; None when there is no such key. Raises Transient."""
        return next((key for key in await self.details(tenant_id) if key.key_id == key_id), None)

    async def _rows(self, tenant_id: str) -> list[Row]:
        try:
            return list(await self._warehouse.list_rows(TableRef(tenant_id, KEYS_TABLE)))
        except ObjectNotFound:
            return []
