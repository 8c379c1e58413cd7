"""What a server takes on: so many calls at once, so many from one key and one tenant, none for longer than so long.

Two interceptors, on both sides of authentication (ADR 0025). Before it calls are counted that are at work, whoever makes them, so that a
server that is full refuses before it does anything else. After it, tokens are taken from buckets of the key and the tenant, so that a guess
costs nobody any.
"""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from common.clock import Clock
from common.errors import DeadlineExceeded, RateLimited
from common.rpc.access import OPEN_SERVICES, service_of
from common.rpc.around import Around, Context
from common.rpc.caller import Caller, current_caller
from common.rpc.rates import TokenBuckets
from common.rpc.settings import LimitSettings
from common.rpc.slots import Slots


def admitted(settings: LimitSettings, *, watches: Collection[str], streams: Collection[str]) -> Around:
    """Refuse a call with Overloaded where all places are taken, those of `watches` or those of all others; and end one that takes longer
    than any may, unless it is one of `streams`. Both are full method names."""
    calls, watching = Slots(settings.max_concurrent_calls), Slots(settings.max_concurrent_watches)

    @asynccontextmanager
    async def around(method: str, context: Context) -> AsyncIterator[None]:  # noqa: ARG001
        if service_of(method) in OPEN_SERVICES:
            yield
            return
        with (watching if method in watches else calls).place():
            if method in streams:
                yield
            else:
                async with _deadline(settings.max_call_seconds):
                    yield

    return around


@asynccontextmanager
async def _deadline(seconds: float) -> AsyncIterator[None]:
    """Cancel what takes longer. Where the caller's own deadline is earlier, gRPC cancels the call's task by then."""
    try:
        async with asyncio.timeout(seconds) as timeout:
            yield
    except TimeoutError as error:
        if timeout.expired():
            raise DeadlineExceeded from error
        raise


def rate_limited(settings: LimitSettings, clock: Clock) -> Around:
    """Refuse a call with RateLimited whose key, or whose tenant, has used up its tokens; that costs neither of them one. Admins' keys are
    no tenant's."""
    keys = _buckets(settings.calls_per_second_per_key, settings.call_burst_per_key)
    tenants = _buckets(settings.calls_per_second_per_tenant, settings.call_burst_per_tenant)

    def take(caller: Caller) -> None:
        now = clock.monotonic()
        wanted = [("key", keys, f"{caller.tenant_id}/{caller.principal}"), ("tenant", tenants, caller.tenant_id)]
        buckets = [(limit, of, name) for limit, of, name in wanted if of is not None and name is not None]
        waits = [(of.wait_seconds(name, now), limit) for limit, of, name in buckets]
        wait, limit = max(waits, default=(0.0, ""))
        if wait:
            message = f"Too many calls by this {limit}; repeat after {wait:.3g} s"
            raise RateLimited(message, retry_delay_seconds=wait, metadata={"limit": limit})
        for _, of, name in buckets:
            of.take(name, now)

    @asynccontextmanager
    async def around(method: str, context: Context) -> AsyncIterator[None]:  # noqa: ARG001
        if service_of(method) not in OPEN_SERVICES:
            take(current_caller())
        yield

    return around


def _buckets(per_second: float, burst: int) -> TokenBuckets | None:
    return TokenBuckets(per_second=per_second, burst=burst) if per_second else None
