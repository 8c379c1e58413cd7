"""What a key lost of its admin scopes it has lost at once, on every replica: calls that need one look the key up once more."""

import asyncio

import pytest

from common.api_keys.key import mint
from common.api_keys.scopes import ADMIN_SCOPES, SCOPES
from common.errors import Unavailable
from tests.unit.common.api_keys.world import World


@pytest.mark.parametrize("scope", sorted(ADMIN_SCOPES))
async def test_a_superseded_key_has_lost_the_admin_scopes_on_the_other_replica_too(scope: str) -> None:
    here = World()
    there = here.replica()
    key = here.onboard("acme", scopes=SCOPES)
    assert scope in (await there.caller(key, scope)).scopes
    here.change("acme", key, supersede_time=here.clock.now())
    caller = await there.caller(key, scope)
    assert caller.scopes == SCOPES - ADMIN_SCOPES, "without the clock having moved"


@pytest.mark.parametrize("scope", sorted(ADMIN_SCOPES))
@pytest.mark.parametrize("ended", ["revoke_time", "expire_time"])
async def test_a_key_that_was_ended_elsewhere_may_do_nothing_of_an_admin_any_more(ended: str, scope: str) -> None:
    here = World()
    there = here.replica()
    key = here.onboard("acme", scopes=SCOPES)
    await there.caller(key, scope)
    here.change("acme", key, **{ended: here.clock.now()})
    await there.must_refuse(key, scope)


async def test_a_key_whose_row_is_gone_is_refused() -> None:
    world = World()
    key = world.onboard("acme")
    await world.caller(key, "keys:admin")
    world.tables.keys["acme"].clear()
    await world.must_refuse(key, "keys:admin")


async def test_one_look_up_after_another_begins_without_a_pause() -> None:
    world = World()
    key = world.onboard("acme")
    for _ in range(5):
        await world.caller(key, "keys:admin")
    assert world.tables.key_reads == 5, "the clock has not moved"


async def test_a_key_that_was_only_just_read_for_this_call_is_not_read_again() -> None:
    world = World()
    await world.caller(world.onboard("acme"))
    await world.clock.advance(1)
    await world.caller(world.onboard("acme"), "keys:admin")
    assert world.tables.key_reads == 2


async def test_callers_at_the_same_time_share_a_look_up() -> None:
    world = World()
    key = world.onboard("acme")
    await world.caller(key)
    world.tables.hold = asyncio.Event()
    callers = [asyncio.create_task(world.caller(key, "keys:admin")) for _ in range(1000)]
    await world.clock.advance(0)
    world.tables.hold.set()
    await asyncio.gather(*callers)
    assert world.tables.key_reads == 2


async def test_nobody_is_let_in_by_a_look_up_that_began_before_the_call() -> None:
    world = World()
    key = world.onboard("acme")
    await world.caller(key)
    world.tables.hold = asyncio.Event()
    early = asyncio.create_task(world.caller(key, "keys:admin"))
    await world.clock.advance(0.001)
    world.change("acme", key, revoke_time=world.clock.now())
    late = asyncio.create_task(world.refuses(key, "keys:admin"))
    await world.clock.advance(0.001)
    world.tables.hold.set()
    assert (await early).principal == "key_1"
    assert await late


async def test_without_the_warehouse_nobody_is_an_admin_and_nobody_is_called_bad() -> None:
    world = World()
    key = world.onboard("acme")
    await world.caller(key, "keys:admin")
    world.tables.away = True
    assert (await world.caller(key, "runs:read")).tenant_id == "acme", "within the bound"
    with pytest.raises(Unavailable):
        await world.caller(key, "keys:admin")
    world.tables.away = False
    assert (await world.caller(key, "keys:admin")).tenant_id == "acme", "at once when the warehouse is back"


async def test_who_has_no_admin_scope_costs_no_look_up() -> None:
    world = World()
    poor = world.onboard("acme", scopes=SCOPES - ADMIN_SCOPES)
    superseded = world.onboard("acme", supersede_time=world.clock.now())
    ended = world.onboard("acme", revoke_time=world.clock.now())
    for scope in sorted(ADMIN_SCOPES):
        await world.caller(poor, scope)
        await world.caller(superseded, scope)
        await world.must_refuse(ended, scope)
    assert world.tables.key_reads == 1


async def test_guesses_at_admin_keys_keep_their_distance_although_others_do_not() -> None:
    world = World()
    key = world.onboard("acme")
    await world.caller(key)
    guesses = [asyncio.create_task(world.refuses(mint("acme").reveal(), "keys:admin")) for _ in range(100)]
    await world.clock.advance(0)
    await world.clock.advance(0.5)
    assert world.tables.key_reads == 1
    await world.clock.advance(0.5)
    assert all(await asyncio.gather(*guesses))
    assert world.tables.key_reads == 2


async def test_at_most_sixteen_look_ups_are_under_way_at_once() -> None:
    world = World()
    keys = [world.onboard(f"tenant_{number}") for number in range(50)]
    for key in keys:
        await world.caller(key)
    world.tables.hold = asyncio.Event()
    callers = [asyncio.create_task(world.caller(key, "keys:admin")) for key in keys]
    await world.clock.advance(0)
    assert world.tables.under_way == 16
    world.tables.hold.set()
    await asyncio.gather(*callers)
    assert world.tables.peak == 16
