"""Looks at queues are shared, and fail for those who share them alone."""

import asyncio
from typing import Any

import pytest

from common.errors import Unavailable
from pipeline_service import queue_looks
from pipeline_service.engine import Queue
from pipeline_service.queue_looks import QueueLooks


class CountingQueues:
    """A run engine, as far as it tells of queues."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.is_away = False

    async def queue(self, tenant_id: str) -> Queue:
        self.asked.append(tenant_id)
        if self.is_away:
            raise Unavailable("The run engine is away")
        return Queue((tenant_id,), len(self.asked))


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> CountingQueues:
    monkeypatch.setattr(queue_looks, "LOOK_SECONDS", 0.01)
    return CountingQueues()


def looks_at(engine: CountingQueues) -> QueueLooks:
    port: Any = engine
    return QueueLooks(port)


async def test_all_who_wait_share_one_look_at_their_tenants_queue(engine: CountingQueues) -> None:
    looks = looks_at(engine)
    queues = await asyncio.gather(*(looks.next(tenant_id) for tenant_id in ("ours", "theirs") for _ in range(100)))
    assert engine.asked == ["ours", "theirs"]
    assert {queue.first for queue in queues[:100]} == {("ours",)}
    assert {queue.first for queue in queues[100:]} == {("theirs",)}
    assert (await looks.next("ours")).length == 3


async def test_who_leaves_takes_the_look_from_nobody(engine: CountingQueues) -> None:
    looks = looks_at(engine)
    leaving, staying = (asyncio.create_task(looks.next("ours")) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).first == ("ours",)
    assert leaving.cancelled()


async def test_a_look_that_fails_tells_all_who_share_it_and_the_next_one_is_made(engine: CountingQueues) -> None:
    looks, engine.is_away = looks_at(engine), True
    failures = await asyncio.gather(*(looks.next("ours") for _ in range(3)), return_exceptions=True)
    assert [type(failure) for failure in failures] == [Unavailable] * 3
    engine.is_away = False
    assert (await looks.next("ours")).length == 2


async def test_a_look_that_nobody_waits_for_any_more_is_not_made(engine: CountingQueues) -> None:
    looks = looks_at(engine)
    leaving = [asyncio.create_task(looks.next("ours")) for _ in range(3)]
    await asyncio.sleep(0)
    for waiter in leaving:
        waiter.cancel()
    for _ in range(2):
        await looks.next("theirs")
    assert engine.asked == ["theirs", "theirs"]


async def test_who_asks_right_after_all_others_have_left_gets_a_look(engine: CountingQueues) -> None:
    looks = looks_at(engine)
    leaving = asyncio.create_task(looks.next("ours"))
    await asyncio.sleep(0)
    leaving.cancel()
    asking = asyncio.create_task(looks.next("ours"))
    assert (await asking).first == ("ours",)
    assert leaving.cancelled()
