"""All that is kept of an API key: its whole row in `api_keys`. For the calls that administer keys; whoever verifies them needs less."""

from dataclasses import dataclass, field
from datetime import datetime

from common.api_keys.record import KeyRecord, record_from
from common.warehouse.rows import required_time_in, text_in, time_in
from common.warehouse.warehouse import Row


@dataclass(frozen=True, slots=True)
class KeyDetails:
    """One row. Texts are empty where there is nothing; `ciphertext` is the key, encrypted for this row."""

    record: KeyRecord
    tenant_id: str
    display_name: str
    display_prefix: str
    create_time: datetime
    create_principal: str
    superseded_by: str
    last_used_time: datetime | None
    ciphertext: bytes = field(repr=False)

    @property
    def key_id(self) -> str:
        """The key's id."""
        return self.record.key_id


def details_from(row: Row) -> KeyDetails:
    """Read a row of `api_keys`. Columns that a table of an older version lacks count as NULL."""
    ciphertext = row["ciphertext"]
    return KeyDetails(
        record=record_from(row),
        tenant_id=str(row["tenant_id"]),
        display_name=text_in(row, "display_name"),
        display_prefix=text_in(row, "display_prefix"),
        create_time=required_time_in(row, "create_time"),
        create_principal=text_in(row, "create_principal"),
        superseded_by=text_in(row, "superseded_by"),
        last_used_time=time_in(row, "last_used_time"),
        ciphertext=ciphertext if isinstance(ciphertext, bytes) else b"",
    )
