"""The table `cloud_credentials` of each tenant, read without a query job."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from common.encryption.cipher import Context
from common.errors import ObjectNotFound
from common.warehouse.rows import required_time_in, text_in
from common.warehouse.warehouse import Row, TableRef, Warehouse

CREDENTIALS_TABLE = "cloud_credentials"
_PURPOSE = "credential"


def credential_context(tenant_id: str, credential_id: str) -> Context:
    """What a credential's ciphertext is bound to: it decrypts for no other tenant, no other row and no other version."""
    return Context(tenant_id=tenant_id, table=CREDENTIALS_TABLE, row_id=credential_id, purpose=_PURPOSE)


@dataclass(frozen=True, slots=True)
class StoredCredential:
    """One row: a version of a credential. One that was deleted or replaced is not live, and its ciphertext is empty."""

    credential_id: str
    tenant_id: str
    name: str
    kind: str
    version: int
    identity: str
    create_time: datetime
    create_principal: str
    is_live: bool
    ended_by: str
    ciphertext: bytes = field(repr=False)


class CredentialStore:
    """Reads credentials, as the warehouse has them now. Safe to use from many tasks at once."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    async def versions(self, tenant_id: str) -> Sequence[StoredCredential]:
        """Every version of every credential, in no order; none where the tenant has no such table yet. Raises Transient."""
        try:
            return [_stored(row) for row in await self._warehouse.list_rows(TableRef(tenant_id, CREDENTIALS_TABLE))]
        except ObjectNotFound:
            return []

    async def current(self, tenant_id: str, name: str) -> StoredCredential | None:
        """The current version of a credential; None where there is none. Raises Transient."""
        return live(await self.versions(tenant_id), name)


def live(versions: Iterable[StoredCredential], name: str) -> StoredCredential | None:
    """The version of that name that is live: no statement ever makes a second one."""
    return next((each for each in versions if each.name == name and each.is_live), None)


def last_version(versions: Iterable[StoredCredential], name: str) -> StoredCredential | None:
    """The last version of that name, live or not; a row that keeps its place counts as one."""
    return max((each for each in versions if each.name == name), key=lambda each: each.version, default=None)


def _stored(row: Row) -> StoredCredential:
    """Read a row. Columns that a table of an older version lacks count as NULL."""
    ciphertext = row["ciphertext"]
    return StoredCredential(
        credential_id=str(row["credential_id"]),
        tenant_id=str(row["tenant_id"]),
        name=str(row["name"]),
        kind=str(row["kind"]),
        version=int(str(row["version"])),
        identity=text_in(row, "identity"),
        create_time=required_time_in(row, "create_time"),
        create_principal=text_in(row, "create_principal"),
        is_live=row["delete_time"] is None,
        ended_by=text_in(row, "ended_by"),
        ciphertext=ciphertext if isinstance(ciphertext, bytes) else b"",
    )
