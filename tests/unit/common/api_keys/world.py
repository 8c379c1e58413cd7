"""A warehouse with tenants and keys that counts how it is read, and replicas of the verifier over it, on one clock."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from common.api_keys.hashing import digest, digest_of
from common.api_keys.key import mint, mint_admin
from common.api_keys.record import KeyRecord, KeySet
from common.api_keys.usage import KeyUsage
from common.api_keys.verifier import KeyVerifier
from common.errors import Transient, Unauthenticated
from common.rpc.caller import Caller
from common.tenants.directory import TenantDirectory
from common.tenants.tenant import MARK, STATE
from common.warehouse.effects import Effects
from common.warehouse.warehouse import Dataset
from tests.clock import FakeClock

BOUND_SECONDS = 30.0
WAIT_SECONDS = 60.0
"""Of the real clock: a busy machine must not fail a test."""
SCOPES = frozenset({"runs:read", "keys:admin"})


class Tables:
    """The warehouse as the verifier and the directory read it: counted, sometimes away, sometimes slow."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.keys: dict[str, dict[str, KeyRecord]] = {}
        self.away = False
        self.hold: asyncio.Event | None = None
        self.listings = 0
        self.key_reads = 0
        self.under_way = 0
        self.peak = 0

    async def list_datasets(self, *, label: str) -> Sequence[Dataset]:
        self.listings += 1
        if self.away:
            raise Transient("away")
        return [
            Dataset(name, "US", {MARK: "tenant", STATE: state}, datetime.fromtimestamp(0, UTC), "")
            for name, state in self.states.items()
        ]

    async def load_keys(self, tenant_id: str) -> KeySet:
        self.key_reads += 1
        if self.away:
            raise Transient("away")
        as_read = dict(self.keys.get(tenant_id, {}))
        self.under_way += 1
        self.peak = max(self.peak, self.under_way)
        if self.hold is not None:
            await self.hold.wait()
        self.under_way -= 1
        return as_read


class World:
    """One replica; `replica()` makes another over the same tables."""

    def __init__(
        self, tables: Tables | None = None, clock: FakeClock | None = None, wait_seconds: float = WAIT_SECONDS
    ) -> None:
        self.clock = clock or FakeClock()
        self.tables = tables or Tables()
        self.admins = [mint_admin(), mint_admin()]
        bounds: Mapping[str, float] = {"bound_seconds": BOUND_SECONDS, "wait_seconds": wait_seconds}
        self.verifier = KeyVerifier(
            admin_digests=[digest_of(admin) for admin in self.admins],
            directory=TenantDirectory(self.tables, clock=self.clock, **bounds),  # type: ignore[arg-type]
            load_keys=self.tables.load_keys,
            usage=KeyUsage(Effects(self.tables, self.clock), interval_seconds=3600, clock=self.clock),  # type: ignore[arg-type]
            clock=self.clock,
            **bounds,
        )

    def replica(self) -> "World":
        return World(self.tables, self.clock)

    def onboard(self, tenant_id: str, **fields: object) -> str:
        """Give a tenant, new or not, one more key."""
        key = mint(tenant_id)
        self.tables.states.setdefault(tenant_id, "ready")
        number = len(self.tables.keys.setdefault(tenant_id, {})) + 1
        record = replace(KeyRecord(f"key_{number}", digest_of(key), SCOPES), **fields)  # type: ignore[arg-type]
        self.tables.keys[tenant_id][record.digest] = record
        return key.reveal()

    def change(self, tenant_id: str, key: str, **fields: object) -> None:
        """Write to a key's row."""
        record = self.tables.keys[tenant_id][digest(key)]
        self.tables.keys[tenant_id][record.digest] = replace(record, **fields)  # type: ignore[arg-type]

    async def caller(self, key: str, scope: str | None = None) -> Caller:
        return await self.verifier.authenticate(key, scope)

    async def refuses(self, key: str, scope: str | None = None) -> bool:
        """Whether the key is refused, and for no other cause than that it does not hold."""
        try:
            await self.caller(key, scope)
        except Unauthenticated:
            return True
        return False

    async def must_refuse(self, key: str, scope: str | None = None) -> None:
        with pytest.raises(Unauthenticated):
            await self.caller(key, scope)
