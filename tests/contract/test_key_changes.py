"""The statements that change a tenant's keys, on both warehouses: what each changes, and that of rotations at the same time one wins."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from common.api_keys.changes import (
    EncryptedKey,
    KeySpec,
    insert_key_statement,
    revoke_keys_statement,
    rotate_key_statement,
)
from common.api_keys.details import KeyDetails
from common.api_keys.key import mint
from common.api_keys.store import KEYS_TABLE, KeyStore
from common.clock import SystemClock
from common.encryption.cipher import Encrypted
from common.templates.catalog import default_configs_dir
from common.templates.onboarding import load_onboarding_template
from common.warehouse.effects import Effects
from common.warehouse.warehouse import Statement, TableRef, Warehouse

NOW = datetime(2025, 11, 15, 12, 0, 0, 123456, tzinfo=UTC)
DAY = timedelta(days=1)
SCOPES = ["runs:read", "keys:admin"]
ROTATIONS = 8


class Keys:
    """The keys of a new tenant."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.tenant_id = f"t_{uuid.uuid4().hex[:16]}"
        self._warehouse = warehouse
        self._effects = Effects(warehouse, SystemClock())

    async def create_table(self) -> None:
        await self._warehouse.create_dataset(self.tenant_id, location="US", labels={})
        spec = load_onboarding_template(default_configs_dir()).tables[KEYS_TABLE]
        await self._warehouse.create_table(TableRef(self.tenant_id, KEYS_TABLE), spec)

    async def add(self, key_id: str, *, expire_time: datetime | None = None) -> None:
        spec = KeySpec("of tests", SCOPES, expire_time)
        new = self.encrypted(key_id)
        assert await self.run(insert_key_statement(self.tenant_id, new, spec, create_time=NOW, principal="admin")) == 1

    async def rotate(self, old: str, new: str, *, now: datetime = NOW, grace: timedelta = DAY) -> int:
        statement = rotate_key_statement(
            self.tenant_id, old, self.encrypted(new), now=now, grace_end=now + grace, principal=old
        )
        return await self.run(statement)

    async def revoke(self, key_id: str | None, *, now: datetime = NOW) -> int:
        return await self.run(revoke_keys_statement(self.tenant_id, key_id, now=now))

    async def run(self, statement: Statement) -> int:
        return (await self._effects.run(f"change_{uuid.uuid4().hex}", statement)).rows

    async def by_id(self) -> dict[str, KeyDetails]:
        return {key.key_id: key for key in await KeyStore(self._warehouse).details(self.tenant_id)}

    def encrypted(self, key_id: str) -> EncryptedKey:
        return EncryptedKey.of(self.tenant_id, key_id, mint(self.tenant_id), Encrypted(b"ciphertext", "versions/1"))


@pytest.fixture
async def keys(warehouse: Warehouse) -> Keys:
    keys = Keys(warehouse)
    await keys.create_table()
    return keys


@pytest.mark.parametrize(
    ("expire_time", "grace", "old_expires"),
    [
        (None, DAY, NOW + DAY),
        (NOW + 9 * DAY, DAY, NOW + DAY),
        (NOW + DAY / 2, DAY, NOW + DAY / 2),
        (NOW + DAY, timedelta(0), NOW),
    ],
)
async def test_a_rotation_hands_on_what_the_key_may_do_and_never_puts_off_its_end(
    keys: Keys, expire_time: datetime | None, grace: timedelta, old_expires: datetime
) -> None:
    await keys.add("key_old", expire_time=expire_time)
    assert await keys.rotate("key_old", "key_new", grace=grace) == 2
    found = await keys.by_id()
    old, new = found["key_old"], found["key_new"]
    assert (new.record.scopes, new.record.expire_time, new.display_name) == (frozenset(SCOPES), expire_time, "of tests")
    assert (new.record.revoke_time, new.record.supersede_time, new.superseded_by) == (None, None, "")
    assert (new.create_time, new.create_principal, new.ciphertext) == (NOW, "key_old", b"ciphertext")
    assert (old.record.expire_time, old.record.supersede_time, old.superseded_by) == (old_expires, NOW, "key_new")
    assert old.record.scopes == frozenset(SCOPES), "what it was made for stays on record"


async def test_a_key_that_is_not_live_is_not_rotated_and_no_row_appears(keys: Keys) -> None:
    for key_id in ("key_revoked", "key_superseded"):
        await keys.add(key_id)
    await keys.add("key_expired", expire_time=NOW)
    await keys.revoke("key_revoked")
    await keys.rotate("key_superseded", "key_successor")
    before = await keys.by_id()
    for key_id in ("key_revoked", "key_superseded", "key_expired", "key_unknown"):
        assert await keys.rotate(key_id, "key_new") == 0
    assert await keys.by_id() == before


async def test_of_rotations_at_the_same_time_exactly_one_wins(keys: Keys) -> None:
    await keys.add("key_old")
    affected = await asyncio.gather(*(keys.rotate("key_old", f"key_{number}") for number in range(ROTATIONS)))
    assert sorted(affected) == [0] * (ROTATIONS - 1) + [2]
    (new,) = (await keys.by_id()).keys() - {"key_old"}
    assert new == f"key_{affected.index(2)}"


async def test_revoking_keeps_the_time_at_which_a_key_was_revoked_first(keys: Keys) -> None:
    for key_id in ("key_1", "key_2", "key_3"):
        await keys.add(key_id)
    assert await keys.revoke("key_1") == 1
    assert await keys.revoke("key_1", now=NOW + DAY) == 0
    assert await keys.revoke(None, now=NOW + DAY) == 2
    times = {key_id: key.record.revoke_time for key_id, key in (await keys.by_id()).items()}
    assert times == {"key_1": NOW, "key_2": NOW + DAY, "key_3": NOW + DAY}
