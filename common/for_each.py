"""Doing the same to many things, a few at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def for_each(items: Iterable[T], do: Callable[[T], Awaitable[object]], *, at_once: int) -> None:
    """Await `do(item)` for every item, `at_once` of them at a time. Raises what the first that fails does; the others are then cut off."""
    await map_each(items, do, at_once=at_once)


async def map_each(items: Iterable[T], do: Callable[[T], Awaitable[R]], *, at_once: int) -> list[R]:
    """What `do(item)` gives for every item, in the order of the items; otherwise like `for_each`."""
    results: dict[int, R] = {}
    left = enumerate(items)

    async def work() -> None:
        for number, item in left:
            results[number] = await do(item)

    workers = [asyncio.ensure_future(work()) for _ in range(at_once)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return [results[number] for number in range(len(results))]
