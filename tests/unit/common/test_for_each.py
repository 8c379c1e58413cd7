"""`for_each` and `map_each`: a few at a time, and an end at the first failure."""

import asyncio

import pytest

from common.for_each import for_each, map_each


async def test_every_item_is_done_once_and_never_more_at_once_than_allowed() -> None:
    at_work, most, done = 0, 0, []

    async def do(item: int) -> None:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0)
        at_work -= 1
        done.append(item)

    await for_each(range(20), do, at_once=3)
    assert (sorted(done), most) == (list(range(20)), 3)


async def test_fewer_items_than_allowed_at_once_and_none_at_all_are_fine() -> None:
    done: list[int] = []

    async def do(item: int) -> None:
        done.append(item)

    await for_each([1], do, at_once=16)
    await for_each([], do, at_once=16)
    assert done == [1]


async def test_the_first_failure_is_raised_and_cuts_the_others_off() -> None:
    begun, cut_off = [], []

    async def do(item: int) -> None:
        begun.append(item)
        if item == 1:
            raise ValueError(item)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cut_off.append(item)
            raise

    with pytest.raises(ValueError, match="1"):
        await for_each(range(5), do, at_once=2)
    assert (begun, cut_off) == ([0, 1], [0])


async def test_results_come_in_the_order_of_the_items_whichever_is_done_first() -> None:
    last_is_done = asyncio.Event()

    async def do(item: int) -> str:
        if item == 2:
            last_is_done.set()
        await last_is_done.wait()
        return str(item)

    assert await map_each(range(3), do, at_once=3) == ["0", "1", "2"]
    assert await map_each([], do, at_once=3) == []
