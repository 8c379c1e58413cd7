"""Whoever tries keys in masses makes the warehouse work no more than one call a second: for a tenant that is, and for all that are not."""

import asyncio
from itertools import count, cycle

import pytest

from common.api_keys.key import mint
from tests.unit.common.api_keys.world import World

GUESSES_A_SECOND, SECONDS = 1000, 20
UNKNOWN = [f"unknown_{number}" for number in range(1000)]


async def flood(world: World, scope: str) -> None:
    """20,000 keys that nobody has, every other one of the tenant that is, over 20 seconds of the clock."""
    unknown, numbers = cycle(UNKNOWN), count()
    guesses: list[asyncio.Task[bool]] = []
    for _ in range(SECONDS):
        tenants = ("acme" if next(numbers) % 2 else next(unknown) for _ in range(GUESSES_A_SECOND))
        guesses += [asyncio.create_task(world.refuses(mint(tenant_id).reveal(), scope)) for tenant_id in tenants]
        await world.clock.advance(1)
    while not all(guess.done() for guess in guesses):
        await world.clock.advance(0.1)
    assert all(guess.result() for guess in guesses), "each is refused, and none is put off"


@pytest.mark.parametrize("scope", ["runs:read", "keys:admin"])
async def test_20000_guesses_cost_one_read_a_second_of_the_known_tenant_and_one_listing_a_second_in_all(
    scope: str,
) -> None:
    world = World()
    good = world.onboard("acme")
    await world.caller(good, scope)
    began = world.clock.monotonic()
    await flood(world, scope)
    seconds = world.clock.monotonic() - began
    assert world.tables.key_reads <= 1 + seconds
    assert world.tables.listings <= 1 + seconds
    assert (await world.caller(good, "runs:read")).tenant_id == "acme"


async def test_a_guess_at_a_tenant_that_is_not_never_reads_keys() -> None:
    world = World()
    guesses = [asyncio.create_task(world.refuses(mint(name).reveal())) for name in UNKNOWN]
    await world.clock.advance(1)
    assert all(await asyncio.gather(*guesses))
    assert world.tables.key_reads == 0
    assert world.tables.listings <= 2


async def test_guesses_that_waited_for_one_read_are_not_refused_in_one_moment() -> None:
    world = World()
    world.onboard("acme")
    await world.must_refuse(mint("acme").reveal())
    guesses = []
    for _ in range(9):
        await world.clock.advance(0.1)
        guesses.append(asyncio.create_task(world.refuses(mint("acme").reveal())))
        await world.clock.advance(0)
    await world.clock.advance(0.1)
    assert world.tables.key_reads == 2, "one read for all"
    refused = []
    for _ in range(10):
        refused.append(sum(guess.done() for guess in guesses))
        await world.clock.advance(0.1)
    assert refused == list(range(10)), "each a second after it came"


async def test_a_new_key_is_let_in_with_the_read_that_finds_it() -> None:
    world = World()
    world.onboard("acme")
    await world.must_refuse(mint("acme").reveal())
    await world.clock.advance(0.7)
    waiting = asyncio.create_task(world.caller(world.onboard("acme")))
    await world.clock.advance(0.3)
    assert waiting.done()
    assert (await waiting).tenant_id == "acme"
