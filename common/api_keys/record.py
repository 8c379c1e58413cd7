"""An API key as the verifier keeps it in memory, tens of thousands at a time: what it takes to tell who holds it, and where it stands."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Literal

from common.api_keys.scopes import ADMIN_SCOPES
from common.warehouse.rows import time_in
from common.warehouse.warehouse import Row

KeyState = Literal["ACTIVE", "SUPERSEDED", "EXPIRED", "REVOKED"]
"""Where a key stands in its life; the last two are terminal."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What of a row of `api_keys` decides who is let in. Times are aware, in UTC."""

    key_id: str
    digest: str
    scopes: frozenset[str]
    expire_time: datetime | None = None
    revoke_time: datetime | None = None
    supersede_time: datetime | None = None

    def state_at(self, now: datetime) -> KeyState:
        """Where the key stands at `now`.

        Revoked and superseded is what has a time for it, even one that has yet to come: nothing sets those ahead, so it was set by a
        replica whose clock runs before ours.
        """
        if self.revoke_time is not None:
            return "REVOKED"
        if self.expire_time is not None and self.expire_time <= now:
            return "EXPIRED"
        return "ACTIVE" if self.supersede_time is None else "SUPERSEDED"

    def scopes_at(self, now: datetime) -> frozenset[str] | None:
        """The scopes that the key carries at `now`; None once it has expired or been revoked."""
        match self.state_at(now):
            case "ACTIVE":
                return self.scopes
            case "SUPERSEDED":
                return self.scopes - ADMIN_SCOPES
            case _:
                return None


KeySet = Mapping[str, KeyRecord]
"""A tenant's keys by digest."""


def record_from(row: Row) -> KeyRecord:
    """Read a row of `api_keys`."""
    scopes = row["scopes"]
    return KeyRecord(
        key_id=str(row["key_id"]),
        digest=str(row["key_hash"]),
        scopes=_shared(frozenset(str(scope) for scope in scopes) if isinstance(scopes, list | tuple) else frozenset()),
        expire_time=time_in(row, "expire_time"),
        revoke_time=time_in(row, "revoke_time"),
        supersede_time=time_in(row, "supersede_time"),
    )


@lru_cache(maxsize=64)
def _shared(scopes: frozenset[str]) -> frozenset[str]:
    """The same scopes as one object: sets of their own would take a third of the memory of all keys."""
    return scopes
