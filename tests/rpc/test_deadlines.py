"""A call whose time is over stops working, whoever set the time; and what connections and messages are held to."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from common.warehouse.warehouse import Warehouse
from convergence.tenant.v1.tenant_service_pb2 import GetTenantRequest
from tests.passing_on import PassingOn
from tests.rpc.fake_pipelines import fake_pipelines
from tests.rpc.key_calls import new_tenant
from tests.rpc.statuses import outcome_of, refused
from tests.rpc.tenant_stack import tenant_stack
from tests.waiting import until
from tests.warehouses import LocalServer


async def code_of(call: Any) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


@pytest.mark.parametrize("deadline", [None, 3600.0])
async def test_a_call_without_a_deadline_gets_the_longest_and_a_longer_one_is_cut(deadline: float | None) -> None:
    async with fake_pipelines(max_call_seconds=0.2) as fake:
        fake.pipelines.open.clear()
        assert await outcome_of(fake.call(timeout=deadline)) == ("DEADLINE_EXCEEDED", "CALL_TIMEOUT")
        await until(lambda: (fake.pipelines.cancelled, fake.pipelines.at_work) == (1, 0))


async def test_a_callers_own_shorter_deadline_ends_the_work_too() -> None:
    async with fake_pipelines() as fake:
        fake.pipelines.open.clear()
        assert await code_of(fake.call(timeout=0.3)) == "DEADLINE_EXCEEDED"
        await until(lambda: (fake.pipelines.cancelled, fake.pipelines.at_work) == (1, 0))


async def test_a_call_that_its_caller_gives_up_stops_working() -> None:
    async with fake_pipelines() as fake:
        fake.pipelines.open.clear()
        call = fake.call()
        await until(lambda: fake.pipelines.at_work == 1)
        call.cancel()
        await until(lambda: (fake.pipelines.cancelled, fake.pipelines.at_work) == (1, 0))


async def test_a_watch_may_last_longer_than_a_call() -> None:
    async with fake_pipelines(max_call_seconds=0.1) as fake:
        watch = fake.watch()
        await watch.read()
        fake.pipelines.open.clear()
        assert await code_of(fake.call()) == "DEADLINE_EXCEEDED"
        assert fake.pipelines.watching == 1
        assert not watch.done()


class SlowWarehouse(PassingOn):
    """Answers what is read of one tenant never, and notes who stopped waiting."""

    def __init__(self, warehouse: Warehouse) -> None:
        super().__init__(warehouse)
        self.slow = ""
        self.waiting = 0
        self.given_up = 0

    async def get_dataset(self, dataset_id: str) -> Any:
        if dataset_id == self.slow:
            self.waiting += 1
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.given_up += 1
                raise
        return await self.warehouse.get_dataset(dataset_id)


async def test_a_call_stops_waiting_for_a_slow_warehouse_once_its_deadline_has_passed(
    local_server: LocalServer, tmp_path: Path
) -> None:
    opened = local_server.connect()
    slow: Any = SlowWarehouse(opened)
    async with tenant_stack(tmp_path, slow) as stack:
        keys = await new_tenant(stack, opened)
        assert await outcome_of(keys.read(keys.own)) == ("OK", "")
        slow.slow = keys.tenant_id
        request = GetTenantRequest(tenant_id=keys.tenant_id)
        started = [stack.stub.GetTenant(request, metadata=keys.own, timeout=2) for _ in range(5)]
        calls = [asyncio.create_task(code_of(call)) for call in started]
        await until(lambda: slow.waiting == 5)
        assert await asyncio.gather(*calls) == ["DEADLINE_EXCEEDED"] * 5
        await until(lambda: slow.given_up == 5)
    await opened.close()


TOO_LARGE = ("RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE")


async def test_a_message_that_is_too_large_is_refused_and_one_that_fits_is_not() -> None:
    async with fake_pipelines(max_request_bytes=100_000) as fake:
        refusal = await refused(fake.call(page_token="x" * 100_000))
        assert (refusal.code, refusal.reason) == TOO_LARGE
        assert refusal.metadata["max_bytes"] == "100000" < refusal.metadata["bytes"]
        assert not refusal.retry, "repeating does not help"
        assert await outcome_of(fake.call("nobody's", page_token="x" * 150_000)) == (
            "UNAUTHENTICATED",
            "API_KEY_INVALID",
        )
        assert not fake.pipelines.metadata
        assert await code_of(fake.call(page_token="x" * 90_000)) == "OK"


async def test_a_message_twice_too_large_is_not_even_read() -> None:
    async with fake_pipelines(max_request_bytes=100_000) as fake:
        assert await code_of(fake.call(page_token="x" * 200_001)) == "RESOURCE_EXHAUSTED"
        assert not fake.pipelines.metadata


async def test_an_answer_that_is_too_large_is_not_sent() -> None:
    async with fake_pipelines(max_response_bytes=100_000) as fake:
        refusal = await refused(fake.call(page_token="x" * 200_000))
        assert (refusal.code, refusal.reason, refusal.metadata["max_bytes"]) == (*TOO_LARGE, "100000")
        assert len(fake.pipelines.metadata) == 1, "it was made"
        assert await code_of(fake.call(page_token="x" * 90_000)) == "OK"


async def test_an_old_connection_is_given_up_without_failing_a_call() -> None:
    async with fake_pipelines(max_connection_age_seconds=1.0, max_connection_age_grace_seconds=0.5) as fake:
        watch = fake.watch()
        await watch.read()
        ended = asyncio.create_task(code_of(watch.read()))
        answered = []
        while not ended.done():
            answered.append(await code_of(fake.call()))
            await asyncio.sleep(0.05)
        assert await ended == "UNAVAILABLE"
        assert await code_of(fake.call()) == "OK"
        assert set(answered) == {"OK"}
