"""The encrypted secrets that a tenant's tables hold: found, and replaced by others of the same plaintext."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from common.api_keys.store import KEYS_TABLE, key_context
from common.credentials.store import CREDENTIALS_TABLE, credential_context
from common.encryption.cipher import Context, Encrypted
from common.errors import ObjectNotFound
from common.warehouse.effects import Effects
from common.warehouse.warehouse import Parameter, Statement, TableRef, Warehouse

MOST_ROWS = 100
MOST_BYTES = 2 << 20
"""Of a batch's ciphertexts. BigQuery takes requests of 10 MB, and a batch sends each secret's old and new one in base64:
https://cloud.google.com/bigquery/quotas#query_jobs"""


@dataclass(frozen=True, slots=True)
class SecretTable:
    """A table with secrets: the column that names a row, and the context that a row's ciphertext is bound to."""

    name: str
    id_column: str
    context_of: Callable[[str, str], Context]


SECRET_TABLES = (
    SecretTable(KEYS_TABLE, "key_id", key_context),
    SecretTable(CREDENTIALS_TABLE, "credential_id", credential_context),
)


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """One row's secret, as it was when read."""

    tenant_id: str
    table: SecretTable
    row_id: str
    key_version: str
    ciphertext: bytes = field(repr=False)

    @property
    def context(self) -> Context:
        """What the ciphertext is bound to."""
        return self.table.context_of(self.tenant_id, self.row_id)


class StoredSecrets:
    """The secrets of all tenants. Methods raise Transient and Terminal as the warehouse does."""

    def __init__(self, warehouse: Warehouse, effects: Effects) -> None:
        self._warehouse = warehouse
        self._effects = effects

    async def of(self, tenant_id: str) -> Sequence[StoredSecret]:
        """The tenant's secrets, read without a query job; those that were erased are none. A table that it lacks holds none."""
        return [secret for table in SECRET_TABLES for secret in await self._in(table, tenant_id)]

    async def replace(self, batch: Sequence[tuple[StoredSecret, Encrypted]]) -> int:
        """Replace the ciphertexts of a batch, in one statement: all of them, but for those that are no longer as they were read, since
        somebody replaced or erased them meanwhile. How many were replaced. The batch is one that `batches` made."""
        first = batch[0][0]
        effect_id = (
            f"rewrap_{first.tenant_id}_{first.table.name}_{uuid.uuid4().hex}"  # what it finds changed it leaves alone
        )
        return (await self._effects.run(effect_id, _replacement(first, batch))).rows

    async def _in(self, table: SecretTable, tenant_id: str) -> list[StoredSecret]:
        try:
            rows = await self._warehouse.list_rows(TableRef(tenant_id, table.name))
        except ObjectNotFound:
            return []
        return [
            StoredSecret(tenant_id, table, str(row[table.id_column]), str(row["kms_key_version"]), ciphertext)
            for row in rows
            if isinstance(ciphertext := row["ciphertext"], bytes) and ciphertext
        ]


def batches(secrets: Sequence[StoredSecret]) -> Iterator[Sequence[StoredSecret]]:
    """Cut a tenant's secrets into batches that one statement can replace: of one table, of MOST_ROWS and MOST_BYTES."""
    batch: list[StoredSecret] = []
    size = 0
    for secret in secrets:
        size += len(secret.ciphertext)
        if batch and (secret.table != batch[0].table or len(batch) == MOST_ROWS or size > MOST_BYTES):
            yield batch
            batch, size = [], len(secret.ciphertext)
        batch.append(secret)
    if batch:
        yield batch


def _replacement(first: StoredSecret, batch: Sequence[tuple[StoredSecret, Encrypted]]) -> Statement:
    sql = (
        f"MERGE `{first.tenant_id}.{first.table.name}` AS stored USING ("
        "SELECT row_id, @olds[OFFSET(position)] AS old_ciphertext, @news[OFFSET(position)] AS new_ciphertext, "
        "@key_versions[OFFSET(position)] AS key_version FROM UNNEST(@row_ids) AS row_id WITH OFFSET AS position"
        f") AS rewrapped ON stored.{first.table.id_column} = rewrapped.row_id AND stored.ciphertext = rewrapped.old_ciphertext "
        "WHEN MATCHED THEN UPDATE SET ciphertext = rewrapped.new_ciphertext, kms_key_version = rewrapped.key_version"
    )
    return Statement(
        sql,
        (
            Parameter("row_ids", "STRING", [secret.row_id for secret, _ in batch], array=True),
            Parameter("olds", "BYTES", [secret.ciphertext for secret, _ in batch], array=True),
            Parameter("news", "BYTES", [encrypted.ciphertext for _, encrypted in batch], array=True),
            Parameter("key_versions", "STRING", [encrypted.key_version for _, encrypted in batch], array=True),
        ),
    )
