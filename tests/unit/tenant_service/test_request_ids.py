"""Under one request_id an act is done once, whoever asks, however often and at the same time. On both warehouses."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
import structlog

from common.errors import KeyNotFound, RequestIdReused
from common.rpc.caller import Caller
from tenant_service.acts import Turn
from tests.unit.tenant_service.acts_world import ADMIN, World, new_tenant, noting, request_id
from tests.warehouses import Connect

DAY_SECONDS = 24 * 3600
CALLS = 16


async def test_a_cancelled_call_leaves_an_attempt_without_outcome_and_a_repeat_completes_it(world: World) -> None:
    turns: list[Turn] = []
    begun = asyncio.Event()

    async def hang(turn: Turn) -> str:
        turns.append(turn)
        begun.set()
        await asyncio.Event().wait()
        return "never"

    act = world.act(request_id=request_id())
    calling = asyncio.create_task(world.acts().do(ADMIN, act, hang))
    await begun.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert await world.phases() == [("ATTEMPT", None, None), ("CLAIM", None, None)]

    assert await world.acts().do(ADMIN, act, noting(turns)) == "done"
    assert turns[0] == turns[1], "under the same act_id, and not as a repetition of something that succeeded"
    audit_ids = [row["audit_id"] for row in await world.rows() if row["phase"] == "ATTEMPT"]
    assert len(set(audit_ids)) == 2, "two calls are two records"


async def test_of_16_calls_at_once_for_different_things_under_one_request_id_one_acts(
    world: World, connect: Connect
) -> None:
    turns: list[Turn] = []
    given = request_id()
    processes = [world.acts(connect()), world.acts(connect())]
    calls = [
        processes[number % 2].do(ADMIN, world.act(request_id=given, fields={"number": number}), noting(turns))
        for number in range(CALLS)
    ]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert answers.count("done") == len(turns) == 1
    assert sum(isinstance(answer, RequestIdReused) for answer in answers) == CALLS - 1
    rows = await world.rows()
    assert [sum(row["phase"] == phase for row in rows) for phase in ("CLAIM", "ATTEMPT", "OUTCOME")] == [
        1,
        CALLS,
        CALLS,
    ]


async def test_16_calls_at_once_for_the_same_under_one_request_id_act_under_one_id(
    world: World, connect: Connect
) -> None:
    turns: list[Turn] = []
    act = world.act(request_id=request_id())
    processes = [world.acts(connect()), world.acts(connect())]
    answers = await asyncio.gather(*(processes[number % 2].do(ADMIN, act, noting(turns)) for number in range(CALLS)))
    assert answers == ["done"] * CALLS
    assert len({turn.act_id for turn in turns}) == 1
    assert sum(row["phase"] == "CLAIM" for row in await world.rows()) == 1


@pytest.mark.parametrize(
    "other",
    [{"fields": {"scopes": ["runs:write"]}}, {"method": "RevokeKey"}, {"resource": "key_2"}],
    ids=["other fields", "another method", "another resource"],
)
async def test_a_request_id_is_good_for_one_request(world: World, other: dict[str, Any]) -> None:
    turns: list[Turn] = []
    first = world.act(request_id=request_id())
    await world.acts().do(ADMIN, first, noting(turns))
    with pytest.raises(RequestIdReused):
        await world.acts().do(ADMIN, replace(first, **other), noting(turns))
    assert len(turns) == 1
    assert (await world.phases()).count(("OUTCOME", "INVALID_ARGUMENT", "REQUEST_ID_REUSED")) == 1
    assert await world.acts().do(ADMIN, first, noting(turns)) == "done", "the first request keeps it"


async def test_a_repeat_by_whomever_is_the_same_act_and_knows_that_it_succeeded(world: World) -> None:
    turns: list[Turn] = []
    act = world.act(request_id=request_id())
    for caller, given in ((ADMIN, act.request_id), (Caller("key_1", world.tenant_id), act.request_id.upper())):
        await world.acts().do(caller, replace(act, request_id=given), noting(turns))
    assert [turn.repeated for turn in turns] == [False, True]
    assert turns[0].act_id == turns[1].act_id
    assert len(turns[0].act_id) == 32


async def test_a_repeat_after_a_failure_acts_again(world: World) -> None:
    turns: list[Turn] = []
    act = world.act(request_id=request_id())

    async def fail(turn: Turn) -> str:
        turns.append(turn)
        raise KeyNotFound

    with pytest.raises(KeyNotFound):
        await world.acts().do(ADMIN, act, fail)
    await world.acts().do(ADMIN, act, noting(turns))
    assert [turn.repeated for turn in turns] == [False, False]


async def test_a_request_id_is_remembered_for_a_day_and_refused_after_it(world: World) -> None:
    turns: list[Turn] = []
    act = world.act(request_id=request_id())
    await world.acts().do(ADMIN, act, noting(turns))
    await world.clock.advance(DAY_SECONDS - 1)
    await world.acts().do(ADMIN, act, noting(turns))
    await world.clock.advance(1)
    with pytest.raises(RequestIdReused):
        await world.acts().do(ADMIN, act, noting(turns))
    assert [turn.repeated for turn in turns] == [False, True], "and the third was none"


async def test_calls_without_a_request_id_are_acts_of_their_own(world: World) -> None:
    turns: list[Turn] = []
    for _ in range(2):
        await world.acts().do(ADMIN, world.act(), noting(turns))
    assert len({turn.act_id for turn in turns}) == 2
    assert {row["phase"] for row in await world.rows()} == {"ATTEMPT", "OUTCOME"}


async def test_tenants_claim_the_same_request_id_each_for_itself(world: World) -> None:
    turns: list[Turn] = []
    given, other = request_id(), await new_tenant(world.warehouse)
    for tenant_id in (world.tenant_id, other):
        await world.acts().do(ADMIN, world.act(tenant_id=tenant_id, request_id=given), noting(turns))
    assert [(turn.tenant.tenant_id, turn.repeated) for turn in turns] == [(world.tenant_id, False), (other, False)]
    assert len({turn.act_id for turn in turns}) == 2
    digests = {row["request_digest"] for tenant_id in (world.tenant_id, other) for row in await world.rows(tenant_id)}
    assert len(digests) == 2, "not even the digest tells that it is the same"


async def test_neither_the_table_nor_the_log_holds_the_request_id_or_a_field(world: World) -> None:
    act = world.act(request_id=request_id(), fields={"token": "a-secret-token"})
    with structlog.testing.capture_logs() as logs:
        await world.acts().do(ADMIN, act, noting([]))
    for text in (repr(await world.rows()), repr(logs), repr(act)):
        assert "a-secret-token" not in text
    assert act.request_id not in repr(await world.rows()) + repr(logs)
