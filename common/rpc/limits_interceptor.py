"""What a server takes on: so many calls at once, so many from one key and one tenant, none for longer than so long.

Two layers, on both sides of authentication (ADR 0025). Before it a server that is full refuses whoever comes, before it does anything
else. After it a call takes its place at work, and tokens from buckets of its key and tenant: a guess costs nobody any of these.
"""

import asyncio
from collections.abc import Collection

from common.clock import Clock
from common.errors import DeadlineExceeded, RateLimited
from common.rpc.access import is_open
from common.rpc.around import Call, Handle
from common.rpc.caller import Caller, current_caller
from common.rpc.rates import TokenBuckets
from common.rpc.settings import LimitSettings
from common.rpc.slots import Slots, overloaded


class CallLimits:
    """The limits of one server."""

    def __init__(
        self, settings: LimitSettings, clock: Clock, *, watches: Collection[str], streams: Collection[str]
    ) -> None:
        """`watches` have places of their own, `streams` may last. Both are full method names."""
        self._calls = _slots(settings.max_concurrent_calls, settings.max_share_per_tenant)
        self._watching = _slots(settings.max_concurrent_watches, settings.max_share_per_tenant)
        self._keys = _buckets(settings.calls_per_second_per_key, settings.call_burst_per_key)
        self._tenants = _buckets(settings.calls_per_second_per_tenant, settings.call_burst_per_tenant)
        self._max_seconds = settings.max_call_seconds
        self._clock = clock
        self._watches = watches
        self._streams = streams

    def admitted(self, method: str, inner: Handle) -> Handle:
        """Before authentication: refuse with Overloaded while all places are taken, and end a call with DeadlineExceeded that takes too
        long."""
        if is_open(method):
            return inner
        places = self._places(method)
        bounded = inner if method in self._streams else self._in_time(inner)

        async def handle(call: Call) -> bytes | None:
            if places.full:
                raise overloaded()
            return await bounded(call)

        return handle

    def _in_time(self, inner: Handle) -> Handle:
        async def handle(call: Call) -> bytes | None:
            try:
                # A caller's earlier deadline is gRPC's to keep.
                async with asyncio.timeout(self._max_seconds) as timeout:
                    return await inner(call)
            except TimeoutError as error:
                if timeout.expired():
                    raise DeadlineExceeded from error
                raise

        return handle

    def at_work(self, method: str, inner: Handle) -> Handle:
        """After authentication: have a place meanwhile, and take a token of the key and one of the tenant, or neither. Refuses with
        Overloaded and RateLimited."""
        if is_open(method):
            return inner
        places = self._places(method)

        async def handle(call: Call) -> bytes | None:
            caller = current_caller()
            with places.place(caller.tenant_id):
                self._take_tokens(caller)
                return await inner(call)

        return handle

    def _places(self, method: str) -> Slots:
        return self._watching if method in self._watches else self._calls

    def _take_tokens(self, caller: Caller) -> None:
        """An admin's keys are no tenant's."""
        now = self._clock.monotonic()
        wanted = [
            ("key", self._keys, f"{caller.tenant_id}/{caller.principal}"),
            ("tenant", self._tenants, caller.tenant_id),
        ]
        buckets = [(limit, of, name) for limit, of, name in wanted if of is not None and name is not None]
        wait, limit = max(((of.wait_seconds(name, now), limit) for limit, of, name in buckets), default=(0.0, ""))
        if wait:
            message = f"Too many calls by this {limit}; repeat after {wait:.3g} s"
            raise RateLimited(message, retry_delay_seconds=wait, metadata={"limit": limit})
        for _, of, name in buckets:
            of.take(name, now)


def _slots(limit: int, share: float) -> Slots:
    return Slots(limit, limit_per_tenant=max(1, int(limit * share)))


def _buckets(per_second: float, burst: int) -> TokenBuckets | None:
    return TokenBuckets(per_second=per_second, burst=burst) if per_second else None
