"""Calls that a server ends as it stops."""

import asyncio
from typing import Any

import pytest

from common.errors import Unavailable
from common.rpc.under_way import CallsUnderWay

HEALTH, OTHER = "/grpc.health.v1.Health/Watch", "/convergence.tenant.v1.TenantService/Onboard"


class Calls:
    """Calls whose handlers go on until they are let go."""

    def __init__(self) -> None:
        self.under_way = CallsUnderWay()
        self.let_go = asyncio.Event()

    async def begin(self, method: str) -> "asyncio.Task[bytes | None]":
        async def inner(_: Any) -> bytes | None:
            await self.let_go.wait()
            return b"done"

        handle: Any = self.under_way.noted(method, inner)
        task = asyncio.create_task(handle(None))
        await asyncio.sleep(0)
        return task


async def test_those_that_are_chosen_hear_that_the_server_stops_and_the_others_go_on() -> None:
    calls = Calls()
    watch, other = await calls.begin(HEALTH), await calls.begin(OTHER)
    calls.under_way.end_for_good(lambda method: method == HEALTH)
    with pytest.raises(Unavailable, match="stopping"):
        await watch
    calls.let_go.set()
    assert await other == b"done"


async def test_one_that_was_accepted_before_and_comes_under_way_after_hears_it_too() -> None:
    calls = Calls()
    calls.under_way.end_for_good(lambda method: method == HEALTH)
    with pytest.raises(Unavailable, match="stopping"):
        await (await calls.begin(HEALTH))
    calls.let_go.set()
    assert await (await calls.begin(OTHER)) == b"done"


async def test_those_that_are_ended_but_not_for_good_may_come_back() -> None:
    calls = Calls()
    watch = await calls.begin(HEALTH)
    calls.under_way.end(lambda method: method == HEALTH)
    with pytest.raises(Unavailable):
        await watch
    again = await calls.begin(HEALTH)
    calls.let_go.set()
    assert await again == b"done"
