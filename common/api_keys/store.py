"""The table `api_keys` of each tenant: reading the key set without a query job, and the statement that adds a key."""

from datetime import datetime

from common.api_keys.hashing import ALGORITHM, digest_of
from common.api_keys.key import display_prefix
from common.api_keys.record import KeySet, record_from
from common.encryption.cipher import Context, Encrypted
from common.errors import ObjectNotFound
from common.secret import Secret
from common.warehouse.warehouse import Parameter, Row, Statement, TableRef, Warehouse

KEYS_TABLE = "api_keys"
_PURPOSE = "api_key"


def key_context(tenant_id: str, key_id: str) -> Context:
    """What a key's ciphertext is bound to: it decrypts for no other tenant and no other row."""
    return Context(tenant_id=tenant_id, table=KEYS_TABLE, row_id=key_id, purpose=_PURPOSE)


class KeyStore:
    """Reads keys. Safe to use from many tasks at once."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    async def load(self, tenant_id: str) -> KeySet:
        """All keys of a tenant by digest; empty where the tenant has no such table yet. Raises Transient."""
        records = (record_from(row) for row in await self._rows(tenant_id) if row["hash_algorithm"] == ALGORITHM)
        return {record.digest: record for record in records}

    async def ciphertext(self, tenant_id: str, key_id: str) -> bytes | None:
        """The ciphertext of one key; None when there is no such key. Raises Transient."""
        for row in await self._rows(tenant_id):
            if row["key_id"] == key_id and isinstance(ciphertext := row["ciphertext"], bytes):
                return ciphertext
        return None

    async def _rows(self, tenant_id: str) -> list[Row]:
        try:
            return list(await self._warehouse.list_rows(TableRef(tenant_id, KEYS_TABLE)))
        except ObjectNotFound:
            return []


def insert_key_statement(
    tenant_id: str,
    key_id: str,
    key: Secret,
    encrypted: Encrypted,
    *,
    display_name: str,
    scopes: tuple[str, ...],
    create_time: datetime,
    principal: str,
) -> Statement:
    """The statement that adds a key. An INSERT conflicts with nothing on BigQuery: run it under a job id that cannot run twice."""
    parameters = (
        Parameter("key_id", "STRING", key_id),
        Parameter("tenant_id", "STRING", tenant_id),
        Parameter("display_name", "STRING", display_name),
        Parameter("display_prefix", "STRING", display_prefix(tenant_id, key)),
        Parameter("key_hash", "STRING", digest_of(key)),
        Parameter("hash_algorithm", "STRING", ALGORITHM),
        Parameter("ciphertext", "BYTES", encrypted.ciphertext),
        Parameter("kms_key_version", "STRING", encrypted.key_version),
        Parameter("scopes", "STRING", scopes, array=True),
        Parameter("create_time", "TIMESTAMP", create_time),
        Parameter("create_principal", "STRING", principal),
    )
    names = ", ".join(parameter.name for parameter in parameters)
    values = ", ".join(f"@{parameter.name}" for parameter in parameters)
    return Statement(f"INSERT INTO `{tenant_id}.{KEYS_TABLE}` ({names}) VALUES ({values})", parameters)
