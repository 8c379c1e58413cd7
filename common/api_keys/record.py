"""An API key as the warehouse keeps it: everything but the key."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from common.api_keys.scopes import ADMIN_SCOPES
from common.warehouse.warehouse import Row


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One row of `api_keys`, without the ciphertext. Times are aware, in UTC."""

    key_id: str
    digest: str
    scopes: frozenset[str]
    expire_time: datetime | None = None
    revoke_time: datetime | None = None
    supersede_time: datetime | None = None

    def scopes_at(self, now: datetime) -> frozenset[str] | None:
        """The scopes that the key carries at `now`; None once it has expired or been revoked."""
        if self.revoke_time is not None and self.revoke_time <= now:
            return None
        if self.expire_time is not None and self.expire_time <= now:
            return None
        if self.supersede_time is not None and self.supersede_time <= now:
            return self.scopes - ADMIN_SCOPES
        return self.scopes


KeySet = Mapping[str, KeyRecord]
"""A tenant's keys by digest."""


def record_from(row: Row) -> KeyRecord:
    """Read a row of `api_keys`."""
    scopes = row["scopes"]
    return KeyRecord(
        key_id=str(row["key_id"]),
        digest=str(row["key_hash"]),
        scopes=frozenset(str(scope) for scope in scopes) if isinstance(scopes, list | tuple) else frozenset(),
        expire_time=_time(row["expire_time"]),
        revoke_time=_time(row["revoke_time"]),
        supersede_time=_time(row["supersede_time"]),
    )


def _time(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None
