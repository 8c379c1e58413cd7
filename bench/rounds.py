"""How much is measured, and the taking of turns: A and B see the same machine, whatever else it does meanwhile."""

import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

Call = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Rounds:
    """How often each measurement is repeated, the rows of the export day, the guesses of a flood, the calls of a burst, the runs that
    memory is watched over, and the watchers that idle."""

    calls: int
    starts: int
    runs: int
    small_runs: int
    export_rows: int
    guesses: int
    burst: int
    watched_runs: int
    watchers: int


FULL = Rounds(
    calls=1000,
    starts=40,
    runs=5,
    small_runs=30,
    export_rows=1_000_000,
    guesses=20_000,
    burst=2000,
    watched_runs=500,
    watchers=1000,
)
SHORT = Rounds(
    calls=5, starts=1, runs=1, small_runs=1, export_rows=2_000, guesses=50, burst=60, watched_runs=5, watchers=10
)


async def in_turn(calls: Mapping[str, Call], *, rounds: int, settle: Call | None = None) -> dict[str, list[float]]:
    """Seconds that each call took, `rounds` times after one that does not count. Each round begins with another of the calls;
    `settle` runs after each call, untimed."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    order = deque(calls)
    for number in range(rounds + 1):
        for name in order:
            began = time.perf_counter()
            await calls[name]()
            if number:
                taken[name].append(time.perf_counter() - began)
            if settle is not None:
                await settle()
        order.rotate()
    return taken
