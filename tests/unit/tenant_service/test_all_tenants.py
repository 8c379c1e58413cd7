"""Work over many tenants: in what order it is told of, how much of it goes on at once, and what ends it."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing

import pytest

from common.errors import (
    AccessRefused,
    DecryptionFailed,
    ObjectNotFound,
    TenantSchemaConflict,
    Terminal,
    Transient,
    Unavailable,
)
from tenant_service.all_tenants import as_done, failure_reason


class Work:
    """Work on numbers, each of which ends when a test says so."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.stopped: list[int] = []
        self._ends: dict[int, asyncio.Event] = {}

    async def __call__(self, number: int) -> int:
        self.begun.append(number)
        try:
            await self._ends.setdefault(number, asyncio.Event()).wait()
        except asyncio.CancelledError:
            self.stopped.append(number)
            raise
        return number

    def end(self, number: int) -> None:
        self._ends.setdefault(number, asyncio.Event()).set()


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_results_come_in_the_order_in_which_they_are_ready_and_few_are_under_way_at_once() -> None:
    work = Work()
    async with aclosing(as_done(range(6), work, at_once=2)) as results:
        first = asyncio.ensure_future(anext(results))
        await settled()
        assert work.begun == [0, 1]
        work.end(1)
        assert await first == 1
        second = asyncio.ensure_future(anext(results))
        await settled()
        assert work.begun == [0, 1, 2]
        work.end(2)
        assert await second == 2
        for number in (0, 3, 4, 5):
            work.end(number)
        assert sorted([result async for result in results]) == [0, 3, 4, 5]


async def test_items_are_taken_when_their_turn_comes_so_that_the_rest_can_be_left() -> None:
    work, taken = Work(), []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            if number == 3:
                return
            yield number

    for number in range(3):
        work.end(number)
    assert sorted([result async for result in as_done(items(), work, at_once=2)]) == [0, 1, 2]
    assert taken == [0, 1, 2, 3]


async def test_who_stops_listening_stops_the_work() -> None:
    work = Work()
    work.end(0)
    async with aclosing(as_done(range(6), work, at_once=3)) as results:
        assert await anext(results) == 0
    assert sorted(work.stopped) == [1, 2]
    assert 3 not in work.begun


async def test_nothing_to_do_is_done_at_once() -> None:
    assert [result async for result in as_done([], Work())] == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Transient("away"), "DEPENDENCY_UNAVAILABLE"),
        (Unavailable("away"), "DEPENDENCY_UNAVAILABLE"),
        (AccessRefused("no"), "DEPENDENCY_REFUSED"),
        (Terminal("t.secret_table"), "INTERNAL"),
        (ObjectNotFound("no such table"), "INTERNAL"),
        (TenantSchemaConflict(), "TENANT_SCHEMA_CONFLICT"),
        (DecryptionFailed(), "DECRYPTION_FAILED"),
        (ValueError("t.secret_table"), "INTERNAL"),
    ],
)
def test_a_failure_is_told_by_a_reason_of_ours(error: Exception, reason: str) -> None:
    assert failure_reason(error, tenant_id="acme") == reason
