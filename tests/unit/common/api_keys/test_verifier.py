"""Who holds a key: from memory, within the published bound, and without an oracle."""

from datetime import timedelta

import pytest

from common.api_keys.key import mint, mint_admin
from common.errors import Unavailable
from tests.unit.common.api_keys.world import BOUND_SECONDS, SCOPES, World


async def test_a_good_key_tells_its_holder_and_costs_no_second_read() -> None:
    world = World()
    key = world.onboard("acme")
    for _ in range(100):
        caller = await world.caller(key)
    assert (caller.principal, caller.tenant_id, caller.scopes) == ("key_1", "acme", SCOPES)
    assert (world.tables.listings, world.tables.key_reads) == (1, 1)


async def test_each_of_several_admin_keys_is_an_admin_and_any_other_is_nobody() -> None:
    world = World()
    for admin in world.admins:
        assert (await world.caller(admin.reveal())).is_admin
    await world.must_refuse(mint_admin().reveal())


async def test_a_new_tenant_and_a_new_key_work_at_once() -> None:
    world = World()
    await world.caller(world.onboard("other_1"))
    await world.clock.advance(1)
    new_tenant = world.onboard("acme")
    assert (await world.caller(new_tenant)).tenant_id == "acme"
    await world.clock.advance(1)
    new_key = world.onboard("acme")
    assert (await world.caller(new_key)).tenant_id == "acme"


async def test_a_revoked_key_is_refused_within_the_bound() -> None:
    world = World()
    key = world.onboard("acme")
    await world.caller(key)
    world.change("acme", key, revoke_time=world.clock.now())
    await world.clock.advance(BOUND_SECONDS)
    await world.must_refuse(key)


async def test_the_replica_that_changed_a_tenants_keys_goes_by_the_change_at_once() -> None:
    world = World()
    key = world.onboard("acme")
    await world.caller(key)
    world.tables.keys["acme"].clear()
    new = world.onboard("acme")
    world.verifier.forget("acme")
    assert (await world.caller(new)).tenant_id == "acme", "without the clock having moved"
    await world.clock.advance(1)
    await world.must_refuse(key)


async def test_a_key_is_refused_at_the_second_it_expires() -> None:
    world = World()
    key = world.onboard("acme", expire_time=world.clock.now() + timedelta(seconds=5))
    await world.clock.advance(4.9)
    await world.caller(key)
    await world.clock.advance(0.1)
    await world.must_refuse(key)


async def test_a_superseded_key_loses_the_admin_scopes_at_once() -> None:
    world = World()
    key = world.onboard("acme", supersede_time=world.clock.now())
    assert (await world.caller(key)).scopes == {"runs:read"}


async def test_a_key_of_another_tenants_name_is_refused() -> None:
    world = World()
    key = world.onboard("acme")
    world.onboard("other_1")
    await world.must_refuse(key.replace("acme", "other_1"))


@pytest.mark.parametrize("state", ["creating", "deleted", "nonsense"])
async def test_keys_of_a_tenant_that_is_not_in_use_are_refused(state: str) -> None:
    world = World()
    world.tables.states["acme"] = state
    await world.must_refuse(world.onboard("acme"))


async def test_a_warehouse_that_is_away_is_never_unauthenticated_and_never_trust() -> None:
    world = World(wait_seconds=0.2)
    key = world.onboard("acme")
    await world.caller(key)
    world.tables.away = True
    await world.clock.advance(BOUND_SECONDS - 1)
    assert (await world.caller(key)).tenant_id == "acme"
    await world.clock.advance(1)
    for candidate in (key, mint("acme").reveal(), mint("unknown").reveal()):
        with pytest.raises(Unavailable):
            await world.caller(candidate)
    world.tables.away = False
    await world.clock.advance(1)
    assert (await world.caller(key)).tenant_id == "acme"


@pytest.mark.parametrize(("tenant_id", "key_reads"), [("acme", 1), ("nobody", 0)])
async def test_a_key_that_nobody_has_costs_a_replica_that_knows_nothing_no_pause(
    tenant_id: str, key_reads: int
) -> None:
    world = World()
    world.onboard("acme")
    await world.must_refuse(mint(tenant_id).reveal())
    assert (world.tables.listings, world.tables.key_reads) == (1, key_reads)


async def test_keys_of_10000_tenants_are_kept_and_beyond_that_those_of_the_least_recently_used_go() -> None:
    world = World()
    keys = [world.onboard(f"tenant_{number}") for number in range(10_001)]
    for key in keys:
        await world.caller(key)
    for key in keys[1:]:
        await world.caller(key)
    assert world.tables.key_reads == 10_001
    await world.caller(keys[0])
    assert world.tables.key_reads == 10_002
