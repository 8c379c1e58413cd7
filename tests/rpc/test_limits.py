"""Limits over real connections: of one key, of one tenant, and of the server. Whoever is refused hears at once, and when to come back."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from common.api_keys.key import mint
from common.errors import Unauthenticated
from common.rpc.caller import Caller
from tests.clock import FakeClock
from tests.rpc.fake_pipelines import Fake, fake_pipelines
from tests.rpc.key_calls import new_tenant
from tests.rpc.statuses import outcome_of, refused
from tests.rpc.tenant_stack import as_key, tenant_stack
from tests.waiting import until
from tests.warehouses import LocalServer

LIMITED, OVERLOADED = ("RESOURCE_EXHAUSTED", "RATE_LIMITED"), ("RESOURCE_EXHAUSTED", "OVERLOADED")
GOOD = ("OK", "")
SLOW = {"calls_per_second_per_key": 2.0, "call_burst_per_key": 3}
NO_RATES = {"calls_per_second_per_key": 0.0, "calls_per_second_per_tenant": 0.0}


async def outcomes(fake: Fake, key: str, number: int) -> list[tuple[str, str]]:
    return [await outcome_of(fake.call(key)) for _ in range(number)]


async def retry_seconds(call: Any) -> float:
    """What RetryInfo says of a call that must be refused."""
    with pytest.raises(grpc.aio.AioRpcError) as told:
        await call
    retry = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(retry) for detail in rpc_status.from_call(told.value).details)
    return float(retry.retry_delay.ToTimedelta().total_seconds())


async def test_a_key_over_its_rate_is_told_after_how_long_exactly_one_more_call_is_let_in() -> None:
    clock = FakeClock()
    async with fake_pipelines(clock=clock, **SLOW) as fake:
        assert await outcomes(fake, "acme/1", 4) == [GOOD, GOOD, GOOD, LIMITED]
        refusal = await refused(fake.call())
        assert (refusal.metadata, refusal.retry) == ({"limit": "key"}, True)
        wait = await retry_seconds(fake.call())
        assert wait == 0.5
        await clock.advance(wait)
        assert await outcomes(fake, "acme/1", 2) == [GOOD, LIMITED]


async def test_keys_of_one_tenant_share_its_bucket_and_no_other_tenants() -> None:
    async with fake_pipelines(clock=FakeClock(), calls_per_second_per_tenant=1.0, call_burst_per_tenant=2) as fake:
        assert [*await outcomes(fake, "acme/1", 1), *await outcomes(fake, "acme/2", 2)] == [GOOD, GOOD, LIMITED]
        assert (await refused(fake.call("acme/3"))).metadata == {"limit": "tenant"}
        assert await outcomes(fake, "rival/1", 2) == [GOOD, GOOD]
        assert await outcomes(fake, "good", 5) == [GOOD] * 5, "an admin belongs to no tenant"


async def test_a_key_over_its_rate_uses_up_nothing_of_its_tenant() -> None:
    limits = {**SLOW, "calls_per_second_per_tenant": 1.0, "call_burst_per_tenant": 6}
    async with fake_pipelines(clock=FakeClock(), **limits) as fake:
        assert Counter(await outcomes(fake, "acme/1", 20)) == {GOOD: 3, LIMITED: 17}
        assert await outcomes(fake, "acme/2", 3) == [GOOD] * 3


async def test_zero_is_no_limit() -> None:
    async with fake_pipelines(clock=FakeClock(), calls_per_second_per_key=0.0, call_burst_per_key=1) as fake:
        assert await outcomes(fake, "acme/1", 20) == [GOOD] * 20


async def test_guesses_use_up_nothing_of_the_tenant_that_they_name(local_server: LocalServer, tmp_path: Path) -> None:
    warehouse = local_server.connect()
    limits: dict[str, Any] = {"calls_per_second_per_tenant": 0.001, "call_burst_per_tenant": 3}
    async with tenant_stack(tmp_path, warehouse, **limits) as stack:
        keys = await new_tenant(stack, warehouse)
        guesses = [outcome_of(keys.read(as_key(mint(keys.tenant_id).reveal()))) for _ in range(50)]
        assert set(await asyncio.gather(*guesses)) == {("UNAUTHENTICATED", "API_KEY_INVALID")}
        assert [await outcome_of(keys.read(keys.own)) for _ in range(4)] == [GOOD, GOOD, GOOD, LIMITED]
    await warehouse.close()


async def test_a_full_server_refuses_at_once_and_before_it_looks_at_keys() -> None:
    async with fake_pipelines(max_concurrent_calls=3, max_share_per_tenant=1.0) as fake:
        fake.pipelines.open.clear()
        held = [asyncio.create_task(outcome_of(fake.call())) for _ in range(3)]
        await until(lambda: fake.pipelines.at_work == 3)
        for key in ("acme/1", "good", "nobody's"):
            assert await outcome_of(fake.call(key)) == OVERLOADED
        assert 0 < await retry_seconds(fake.call()) < 5
        fake.pipelines.open.set()
        assert await asyncio.gather(*held) == [GOOD] * 3
        assert await outcome_of(fake.call()) == GOOD
        assert await outcome_of(fake.call("nobody's")) == ("UNAUTHENTICATED", "API_KEY_INVALID")


async def test_health_is_told_by_a_server_that_is_full() -> None:
    async with fake_pipelines(max_concurrent_calls=1, **SLOW) as fake:
        fake.pipelines.open.clear()
        held = asyncio.create_task(outcome_of(fake.call()))
        await until(lambda: fake.pipelines.at_work == 1)
        health = health_pb2_grpc.HealthStub(fake.channel)
        for _ in range(20):
            await health.Check(health_pb2.HealthCheckRequest(), timeout=10)
        fake.pipelines.open.set()
        assert await held == GOOD


async def test_a_thousand_idle_watchers_leave_room_for_calls_and_one_too_many_is_refused() -> None:
    async with fake_pipelines(max_concurrent_watches=1000, max_concurrent_calls=1, **NO_RATES) as fake:
        watches = [fake.watch(f"tenant_{number % 2}/1") for number in range(1000)]
        await asyncio.gather(*(watch.read() for watch in watches))
        assert await outcome_of(fake.watch("good")) == OVERLOADED
        assert await outcome_of(fake.call()) == GOOD
        watches[0].cancel()
        await until(lambda: fake.pipelines.watching == 999)
        await fake.watch().read()


async def test_a_tenant_that_floods_the_server_takes_its_share_of_places_and_none_of_the_others() -> None:
    async with fake_pipelines(max_concurrent_calls=20, max_share_per_tenant=0.5, **NO_RATES) as fake:
        fake.pipelines.open.clear()
        flood = [asyncio.create_task(outcome_of(fake.call(f"acme/{number % 7}"))) for number in range(2000)]
        await until(lambda: sum(call.done() for call in flood) == 1990, seconds=60)
        assert Counter(call.result() for call in flood if call.done()) == {OVERLOADED: 1990}
        refusal = await refused(fake.call("acme/9"))
        assert (refusal.reason, refusal.metadata, refusal.retry) == ("OVERLOADED", {"limit": "tenant"}, True)

        others = [asyncio.create_task(outcome_of(fake.call(key))) for key in (*["rival/1"] * 9, "good")]
        await until(lambda: fake.pipelines.at_work == 20)
        refusal = await refused(fake.call("good"))
        assert (refusal.reason, refusal.metadata) == ("OVERLOADED", {}), "now the server itself is full"
        fake.pipelines.open.set()
        assert set(await asyncio.gather(*others)) == {GOOD}
        assert Counter(await asyncio.gather(*flood)) == {GOOD: 10, OVERLOADED: 1990}
        assert await outcome_of(fake.call("acme/1")) == GOOD, "places come back"


async def test_a_tenant_that_watches_as_much_as_it_may_leaves_watches_to_others() -> None:
    async with fake_pipelines(max_concurrent_watches=4, max_share_per_tenant=0.5, **NO_RATES) as fake:
        watches = [fake.watch() for _ in range(2)]
        await asyncio.gather(*(watch.read() for watch in watches))
        assert await outcome_of(fake.watch()) == OVERLOADED
        assert await outcome_of(fake.call()) == GOOD
        await fake.watch("rival/1").read()
        watches[0].cancel()
        await until(lambda: fake.pipelines.watching == 2)
        await fake.watch().read()


async def test_the_smallest_share_is_one_place() -> None:
    async with fake_pipelines(max_concurrent_calls=2, max_share_per_tenant=0.01, **NO_RATES) as fake:
        assert await outcomes(fake, "acme/1", 3) == [GOOD] * 3


class Slow:
    """Knows one key at once, and of no other ever tells."""

    def __init__(self) -> None:
        self.asked = 0

    async def authenticate(self, api_key: str, scope: str | None) -> Caller:
        if api_key == "known":
            return Caller("key_1", "acme", frozenset({scope or ""}))
        self.asked += 1
        await asyncio.Event().wait()
        raise Unauthenticated


async def test_keys_that_wait_to_be_told_apart_leave_room_for_those_that_are_known() -> None:
    slow = Slow()
    async with fake_pipelines(authenticator=slow, max_concurrent_calls=10, max_calls_awaiting_keys=2) as fake:
        guesses = [asyncio.create_task(outcome_of(fake.call("guess"))) for _ in range(2)]
        await until(lambda: slow.asked == 2)
        assert await outcome_of(fake.call("guess")) == OVERLOADED
        assert await outcome_of(fake.call("known")) == GOOD
        for guess in guesses:
            guess.cancel()


async def test_a_burst_beyond_the_limit_is_refused_call_by_call_and_none_is_dropped() -> None:
    async with fake_pipelines(max_concurrent_calls=100, max_share_per_tenant=1.0, **NO_RATES) as fake:
        fake.pipelines.open.clear()
        burst = [asyncio.create_task(outcome_of(fake.call())) for _ in range(1500)]
        await until(lambda: sum(call.done() for call in burst) == 1400, seconds=60)
        fake.pipelines.open.set()
        assert Counter(await asyncio.gather(*burst)) == {GOOD: 100, OVERLOADED: 1400}
