"""A value that is read from elsewhere and never given out older than a stated bound: the mechanism behind the published bound of
revocation, suspension and grants. One value (`Refreshed`), or one per tenant (`RefreshedByTenant`)."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Generic, TypeVar

import structlog

from common.clock import Clock
from common.errors import Transient, Unavailable
from common.lookups import Lookups

T = TypeVar("T")
Found = TypeVar("Found")

MISS_INTERVAL_SECONDS = 1.0
"""Refreshes that callers force are at least this far apart."""
LOADS_AT_ONCE = 16
"""Values of tenants that are read at a time."""
NO_WAIT_SECONDS = 0.05
"""Who waits less has most likely waited for nobody."""

_log = structlog.get_logger(__name__)


class Refreshed(Generic[T]):
    """One value with an age. While it is in use it is refreshed in the background at half the bound, so callers do not wait."""

    def __init__(
        self,
        load: Callable[[], Awaitable[T]],
        *,
        bound_seconds: float,
        wait_seconds: float,
        clock: Clock,
        gate: AbstractAsyncContextManager[object] | None = None,
        lookups: Lookups | None = None,
    ) -> None:
        """`load` reads the value; a caller waits for it at most `wait_seconds`; `gate` limits how many values load at once; `lookups`
        counts what is found."""
        self._load = load
        self._bound = bound_seconds
        self._wait = wait_seconds
        self._clock = clock
        self._gate = gate or nullcontext()
        self._lookups = lookups or Lookups()
        self._value: T | None = None
        self._value_began = float("-inf")  # when the read began that gave the value
        self._value_read = 0  # which read it was: the first is 1
        self._forgotten_reads = 0
        self._last_began = float("-inf")
        self._task: asyncio.Task[None] | None = None
        self.reads_begun = 0
        """How many reads have begun so far: a moment, told exactly, for `get_newer` and `get_fresh`."""

    async def get(self) -> T:
        """The value, at most the bound old. Raises Unavailable when it is older and cannot be read."""
        age = self._clock.monotonic() - self._value_began
        if age < self._bound and self._value is not None:
            if age >= self._bound / 2 and self._pause() <= 0:
                self._start()
            return self._value
        return await self._read_after(began=self._clock.monotonic() - self._bound)

    async def find(self, look: Callable[[T], Found | None]) -> Found | None:
        """What `look` finds in the value or else, since it may just have been written, in a newer one. Raises Unavailable.

        Who waited for that and found nothing is told so a second after he came. Thousands who wait for one read would otherwise be
        answered in one moment, and hold up everybody else.
        """
        reads_begun = self.reads_begun
        is_known = self._value is not None and self._clock.monotonic() - self._value_began < self._bound
        found = look(await self.get())
        self._lookups.note(hit=is_known and found is not None)
        if found is not None:
            return found
        came = self._clock.monotonic()
        found = look(await self.get_newer(reads_begun))
        waited = self._clock.monotonic() - came
        if found is None and NO_WAIT_SECONDS < waited < MISS_INTERVAL_SECONDS:
            await self._clock.sleep(MISS_INTERVAL_SECONDS - waited)
        return found

    async def get_newer(self, reads_begun: int) -> T:
        """The value by a read that began when more than `reads_begun` had: for a caller who misses something that may just have been
        written. Any number of callers share one read, at most one a second begins. Raises Unavailable.
        """
        return await self._read_after(number=reads_begun)

    async def get_fresh(self, reads_begun: int) -> T:
        """As `get_newer`, but the read begins without a pause: for callers who have shown that they may cost one.

        Those who come while a read is under way share the next one.
        """
        return await self._read_after(number=reads_begun, paced=False)

    def forget(self) -> None:
        """What has been read counts no more, nor does what a read under way brings: for a caller who has just changed it.

        The next read follows at once.
        """
        self._value = None
        self._forgotten_reads = self.reads_begun
        self._last_began = float("-inf")

    async def _read_after(self, *, began: float = float("-inf"), number: int = 0, paced: bool = True) -> T:
        """The value by a read that began after a moment of the clock, and with a number beyond one."""
        try:
            async with asyncio.timeout(self._wait):
                while self._value is None or self._value_began <= began or self._value_read <= number:
                    if paced and not self._reading() and (pause := self._pause()) > 0:
                        await self._clock.sleep(pause)
                    else:
                        await asyncio.shield(self._start())
        except (Transient, TimeoutError) as error:
            raise Unavailable("The warehouse is away or busy; the call may be repeated") from error
        return self._value

    def _pause(self) -> float:
        """How many seconds the next read has to wait, so that reads begin at a distance."""
        return self._last_began + MISS_INTERVAL_SECONDS - self._clock.monotonic()

    def _reading(self) -> bool:
        """Whether a read is under way. One that has ended is not, although `_finished` has yet to be called: who awaits it goes on at
        once, and would do so for ever."""
        return self._task is not None and not self._task.done()

    def _start(self) -> asyncio.Task[None]:
        """The read under way, or a new one."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._refresh())
            self._task.add_done_callback(self._finished)
        return self._task

    def _finished(self, task: asyncio.Task[None]) -> None:
        if self._task is task:
            self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("refresh failed", error=type(error).__name__)

    async def _refresh(self) -> None:
        async with self._gate:
            began = self._last_began = self._clock.monotonic()
            self.reads_begun += 1
            number = self.reads_begun
            value = await self._load()
            if number > self._forgotten_reads:
                self._value, self._value_began, self._value_read = value, began, number


class RefreshedByTenant(Generic[T]):
    """A `Refreshed` per tenant, at most `size` of them: the least recently used goes first."""

    def __init__(
        self,
        load: Callable[[str], Awaitable[T]],
        *,
        bound_seconds: float,
        wait_seconds: float,
        clock: Clock,
        size: int = 10_000,
    ) -> None:
        self.lookups = Lookups()
        """Of all tenants together."""
        self._load = load
        self._bound_seconds = bound_seconds
        self._wait_seconds = wait_seconds
        self._clock = clock
        self._size = size
        self._gate = asyncio.Semaphore(LOADS_AT_ONCE)
        self._entries: OrderedDict[str, Refreshed[T]] = OrderedDict()

    def of(self, tenant_id: str) -> Refreshed[T]:
        """The tenant's value. Call it only for tenants that exist, so that nobody fills the cache with names."""
        entry = self._entries.get(tenant_id)
        if entry is None:
            entry = self._entries[tenant_id] = Refreshed(
                lambda: self._load(tenant_id),
                bound_seconds=self._bound_seconds,
                wait_seconds=self._wait_seconds,
                clock=self._clock,
                gate=self._gate,
                lookups=self.lookups,
            )
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)
        self._entries.move_to_end(tenant_id)
        return entry

    def forget(self, tenant_id: str) -> None:
        """What has been read of the tenant counts no more, nor does what a read under way brings."""
        if entry := self._entries.get(tenant_id):
            entry.forget()
