"""The bound on the age of cached values: what revocation, suspension and grants rest on."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from common.errors import Transient, Unavailable
from common.refreshed import Refreshed, RefreshedByTenant
from tests.clock import FakeClock


class Counter:
    """A source that counts its reads, and can fail or hang."""

    def __init__(self) -> None:
        self.reads = 0
        self.error: Exception | None = None
        self.hold: asyncio.Event | None = None

    async def load(self) -> int:
        self.reads += 1
        reads = self.reads
        if self.hold is not None:
            await self.hold.wait()
        if self.error is not None:
            raise self.error
        return reads


def refreshed(load: Callable[[], Awaitable[int]], clock: FakeClock, wait_seconds: float = 5.0) -> Refreshed[int]:
    return Refreshed(load, bound_seconds=30, wait_seconds=wait_seconds, clock=clock)


async def test_a_fresh_value_is_given_without_a_read() -> None:
    clock, source = FakeClock(), Counter()
    value = refreshed(source.load, clock)
    assert [await value.get() for _ in range(100)] == [1] * 100
    assert source.reads == 1


async def test_a_value_in_use_is_refreshed_in_the_background_at_half_the_bound() -> None:
    clock, source = FakeClock(), Counter()
    value = refreshed(source.load, clock)
    await value.get()
    await clock.advance(15)
    assert await value.get() == 1, "the caller does not wait"
    await clock.advance(0)
    assert await value.get() == 2


async def test_a_value_older_than_the_bound_is_never_given_when_its_source_is_away() -> None:
    clock, source = FakeClock(), Counter()
    value = refreshed(source.load, clock, wait_seconds=0.1)
    await value.get()
    source.error = Transient("away")
    await clock.advance(29.9)
    assert await value.get() == 1
    await clock.advance(0.1)
    with pytest.raises(Unavailable):
        await value.get()


async def test_it_recovers_without_a_restart() -> None:
    clock, source = FakeClock(), Counter()
    source.error = Transient("away")
    value = refreshed(source.load, clock)
    with pytest.raises(Unavailable):
        await value.get()
    source.error = None
    await clock.advance(1)
    assert await value.get() == 2


async def test_callers_who_miss_something_share_one_read_a_second() -> None:
    clock, source = FakeClock(), Counter()
    value = refreshed(source.load, clock)
    await value.get()
    waiting = [asyncio.create_task(value.get_newer(value.reads_begun)) for _ in range(1000)]
    await clock.advance(0.5)
    assert source.reads == 1, "the last read began half a second ago"
    await clock.advance(0.5)
    assert await asyncio.gather(*waiting) == [2] * 1000
    assert source.reads == 2


async def test_who_misses_something_is_not_answered_by_a_read_that_began_before() -> None:
    clock, source = FakeClock(), Counter()
    source.hold = asyncio.Event()
    value = refreshed(source.load, clock)
    early = asyncio.create_task(value.get())
    await clock.advance(0.2)
    late = asyncio.create_task(value.get_newer(value.reads_begun))
    await clock.advance(0.2)
    source.hold.set()
    assert await early == 1
    await clock.advance(1)
    assert await late == 2


async def test_a_caller_waits_no_longer_than_it_was_told() -> None:
    clock, source = FakeClock(), Counter()
    source.hold = asyncio.Event()
    value = refreshed(source.load, clock, wait_seconds=0.01)
    with pytest.raises(Unavailable):
        await value.get()


async def test_at_most_sixteen_tenants_load_at_once_and_the_least_recently_used_goes_first() -> None:
    clock = FakeClock()
    loading = 0
    peak = 0

    async def load(tenant_id: str) -> str:
        nonlocal loading, peak
        loading += 1
        peak = max(peak, loading)
        await asyncio.sleep(0)
        loading -= 1
        return tenant_id

    by_tenant = RefreshedByTenant(load, bound_seconds=30, wait_seconds=5, clock=clock, size=50)
    await asyncio.gather(*(by_tenant.of(f"tenant_{n}").get() for n in range(50)))
    assert peak == 16
    first = by_tenant.of("tenant_0")
    by_tenant.of("tenant_50")
    assert by_tenant.of("tenant_0") is first


@pytest.mark.timeout(10)
async def test_a_caller_who_comes_in_the_moment_in_which_a_read_ends_gets_the_next_one() -> None:
    clock, source = FakeClock(), Counter()
    late: list[asyncio.Task[int]] = []

    async def load() -> int:
        reads = await source.load()
        if not late:
            await clock.advance(0.1)
            late.append(
                asyncio.create_task(value.get_newer(value.reads_begun))
            )  # runs before anything that awaits this read
        return reads

    value = refreshed(load, clock)
    assert await value.get() == 1
    await clock.advance(1)
    assert await late[0] == 2


async def test_what_was_forgotten_is_read_anew_at_once() -> None:
    clock, source = FakeClock(), Counter()
    value = refreshed(source.load, clock)
    assert await value.get() == 1
    value.forget()
    assert await value.get() == 2, "without the clock having moved"


async def test_a_read_that_began_before_its_value_was_forgotten_answers_nobody() -> None:
    clock, source = FakeClock(), Counter()
    source.hold = asyncio.Event()
    value = refreshed(source.load, clock)
    early = asyncio.create_task(value.get())
    await clock.advance(0)
    assert source.reads == 1
    value.forget()
    late = asyncio.create_task(value.get())
    source.hold.set()
    assert [await early, await late] == [2, 2]


async def test_who_waits_for_the_next_read_takes_what_another_caused_meanwhile() -> None:
    clock, source = FakeClock(), Counter()
    value = refreshed(source.load, clock)
    await value.get()
    waiting = asyncio.create_task(value.get_newer(value.reads_begun))
    await clock.advance(0.5)
    value.forget()
    assert await value.get() == 2
    await clock.advance(0.5)
    assert await waiting == 2
    assert source.reads == 2


async def test_forgetting_one_tenant_leaves_the_others() -> None:
    clock, reads = FakeClock(), list[str]()

    async def load(tenant_id: str) -> int:
        reads.append(tenant_id)
        return len(reads)

    by_tenant = RefreshedByTenant(load, bound_seconds=30, wait_seconds=5, clock=clock)
    for tenant_id in ("acme", "other"):
        await by_tenant.of(tenant_id).get()
    by_tenant.forget("acme")
    by_tenant.forget("never_seen")
    assert [await by_tenant.of(tenant_id).get() for tenant_id in ("acme", "other")] == [3, 2]
