"""A value that is read from elsewhere and never given out older than a stated bound: the mechanism behind the published bound of
revocation, suspension and grants. One value (`Refreshed`), or one per tenant (`RefreshedByTenant`)."""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Generic, TypeVar

import structlog

from common.clock import Clock
from common.errors import Transient, Unavailable

T = TypeVar("T")

MISS_INTERVAL_SECONDS = 1.0
"""Refreshes that callers force are at least this far apart."""

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
    ) -> None:
        """`load` reads the value; a caller waits for it at most `wait_seconds`; `gate` limits how many values load at once."""
        self._load = load
        self._bound = bound_seconds
        self._wait = wait_seconds
        self._clock = clock
        self._gate = gate or nullcontext()
        self._value: T | None = None
        self._loaded_from = float("-inf")  # when the load that gave the value began
        self._last_began = float("-inf")
        self._times_forgotten = 0
        self._task: asyncio.Task[None] | None = None

    async def get(self) -> T:
        """The value, at most the bound old. Raises Unavailable when it is older and cannot be read."""
        age = self._clock.monotonic() - self._loaded_from
        if age < self._bound and self._value is not None:
            if age >= self._bound / 2 and self._pause() <= 0:
                self._start()
            return self._value
        return await self._newer_than(self._clock.monotonic() - self._bound)

    async def get_newer(self) -> T:
        """The value by a read that begins from now on: for a caller who misses something that may just have been written.

        Any number of callers share one read, at most one a second begins.
        """
        return await self._newer_than(math.nextafter(self._clock.monotonic(), -math.inf))

    def forget(self) -> None:
        """What has been read counts no more, nor does what a read under way brings: for a caller who has just changed it.

        The next read follows at once.
        """
        self._value = None
        self._loaded_from = self._last_began = float("-inf")
        self._times_forgotten += 1

    async def _newer_than(self, moment: float) -> T:
        try:
            async with asyncio.timeout(self._wait):
                while self._loaded_from <= moment or self._value is None:
                    if not self._reading() and (pause := self._pause()) > 0:
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
            self._last_began = self._clock.monotonic()
            began, times_forgotten = self._last_began, self._times_forgotten
            value = await self._load()
            if times_forgotten == self._times_forgotten:
                self._value, self._loaded_from = value, began


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
        loads_at_once: int = 16,
    ) -> None:
        self._load = load
        self._bound_seconds = bound_seconds
        self._wait_seconds = wait_seconds
        self._clock = clock
        self._size = size
        self._gate = asyncio.Semaphore(loads_at_once)
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
            )
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)
        self._entries.move_to_end(tenant_id)
        return entry

    def forget(self, tenant_id: str) -> None:
        """What has been read of the tenant counts no more, nor does what a read under way brings."""
        if entry := self._entries.get(tenant_id):
            entry.forget()
