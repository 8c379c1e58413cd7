"""Who holds a key: from memory, within the published bound, and without an oracle."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from common.api_keys.hashing import digest_of
from common.api_keys.key import mint, mint_admin
from common.api_keys.record import KeyRecord, KeySet
from common.api_keys.verifier import KeyVerifier
from common.errors import Transient, Unauthenticated, Unavailable
from common.tenants.directory import TenantDirectory
from common.tenants.tenant import MARK, STATE
from common.warehouse.warehouse import Dataset
from tests.clock import FakeClock

BOUND_SECONDS = 30.0


class Tables:
    """The warehouse as the verifier and the directory read it: counted, and sometimes away."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.keys: dict[str, dict[str, KeyRecord]] = {}
        self.away = False
        self.listings = 0
        self.key_reads = 0

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
        return dict(self.keys.get(tenant_id, {}))


class World:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.tables = Tables()
        self.admin = mint_admin()
        bounds: Mapping[str, float] = {"bound_seconds": BOUND_SECONDS, "wait_seconds": 0.2}
        self.verifier = KeyVerifier(
            admin_digests=[digest_of(mint_admin()), digest_of(self.admin)],
            directory=TenantDirectory(self.tables, clock=self.clock, **bounds),  # type: ignore[arg-type]
            load_keys=self.tables.load_keys,
            clock=self.clock,
            **bounds,
        )

    def onboard(self, tenant_id: str, **fields: object) -> str:
        key = mint(tenant_id)
        record = KeyRecord("key_1", digest_of(key), frozenset({"runs:read", "keys:admin"}))
        self.tables.states.setdefault(tenant_id, "ready")
        self.tables.keys.setdefault(tenant_id, {})[record.digest] = replace(record, **fields)  # type: ignore[arg-type]
        return key.reveal()


async def test_a_good_key_tells_its_holder_and_costs_no_second_read() -> None:
    world = World()
    key = world.onboard("acme")
    for _ in range(100):
        caller = await world.verifier.authenticate(key)
    assert (caller.principal, caller.tenant_id, caller.scopes) == (
        "key_1",
        "acme",
        frozenset({"runs:read", "keys:admin"}),
    )
    assert (world.tables.listings, world.tables.key_reads) == (1, 1)


async def test_each_of_several_admin_keys_is_an_admin_and_any_other_is_nobody() -> None:
    world = World()
    assert (await world.verifier.authenticate(world.admin.reveal())).is_admin
    with pytest.raises(Unauthenticated):
        await world.verifier.authenticate(mint_admin().reveal())


async def test_a_new_tenant_and_a_new_key_work_at_once() -> None:
    world = World()
    await world.verifier.authenticate(world.onboard("other_1"))
    await world.clock.advance(1)
    new_tenant = world.onboard("acme")
    assert (await world.verifier.authenticate(new_tenant)).tenant_id == "acme"
    await world.clock.advance(1)
    new_key = world.onboard("acme")
    assert (await world.verifier.authenticate(new_key)).tenant_id == "acme"


async def test_a_revoked_key_is_refused_within_the_bound() -> None:
    world = World()
    key = world.onboard("acme")
    await world.verifier.authenticate(key)
    digest = next(iter(world.tables.keys["acme"]))
    record = world.tables.keys["acme"][digest]
    world.tables.keys["acme"][digest] = replace(record, revoke_time=world.clock.now())
    await world.clock.advance(BOUND_SECONDS)
    with pytest.raises(Unauthenticated):
        await world.verifier.authenticate(key)


async def test_the_replica_that_changed_a_tenants_keys_goes_by_the_change_at_once() -> None:
    world = World()
    key = world.onboard("acme")
    await world.verifier.authenticate(key)
    world.tables.keys["acme"].clear()
    new = world.onboard("acme")
    world.verifier.forget("acme")
    assert (await world.verifier.authenticate(new)).tenant_id == "acme", "without the clock having moved"
    await world.clock.advance(1)
    with pytest.raises(Unauthenticated):
        await world.verifier.authenticate(key)


async def test_a_key_is_refused_at_the_second_it_expires() -> None:
    world = World()
    key = world.onboard("acme", expire_time=world.clock.now() + timedelta(seconds=5))
    await world.clock.advance(4.9)
    await world.verifier.authenticate(key)
    await world.clock.advance(0.1)
    with pytest.raises(Unauthenticated):
        await world.verifier.authenticate(key)


async def test_a_superseded_key_loses_the_admin_scopes_at_once() -> None:
    world = World()
    key = world.onboard("acme", supersede_time=world.clock.now())
    assert (await world.verifier.authenticate(key)).scopes == {"runs:read"}


async def test_a_key_of_another_tenants_name_is_refused() -> None:
    world = World()
    key = world.onboard("acme")
    world.onboard("other_1")
    with pytest.raises(Unauthenticated):
        await world.verifier.authenticate(key.replace("acme", "other_1"))


@pytest.mark.parametrize("state", ["creating", "deleted", "nonsense"])
async def test_keys_of_a_tenant_that_is_not_in_use_are_refused(state: str) -> None:
    world = World()
    world.tables.states["acme"] = state
    with pytest.raises(Unauthenticated):
        await world.verifier.authenticate(world.onboard("acme"))


async def test_a_warehouse_that_is_away_is_never_unauthenticated_and_never_trust() -> None:
    world = World()
    key = world.onboard("acme")
    await world.verifier.authenticate(key)
    world.tables.away = True
    await world.clock.advance(BOUND_SECONDS - 1)
    assert (await world.verifier.authenticate(key)).tenant_id == "acme"
    await world.clock.advance(1)
    for candidate in (key, mint("acme").reveal(), mint("unknown").reveal()):
        with pytest.raises(Unavailable):
            await world.verifier.authenticate(candidate)
    world.tables.away = False
    await world.clock.advance(1)
    assert (await world.verifier.authenticate(key)).tenant_id == "acme"
