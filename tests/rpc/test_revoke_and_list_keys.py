"""RevokeKey and ListKeys on both warehouses: what is refused from then on, and what is told of keys, which is never a key."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from common.warehouse.warehouse import Warehouse
from convergence.tenant.v1 import api_key_pb2 as pb2
from tests.clock import FakeClock
from tests.rpc.key_calls import KeyCalls, new_request_id, new_tenant, seconds
from tests.rpc.statuses import refused
from tests.rpc.tenant_stack import as_key, tenant_stack

DAY_SECONDS = 24 * 3600


async def test_a_revoked_key_is_refused_at_once_by_who_answered_and_others_are_not(keys: KeyCalls) -> None:
    created = await keys.create(keys.admin)
    by = as_key(created.api_key)
    await keys.read(by)
    (revoked,) = (await keys.revoke(keys.own, created.key.key_id)).keys
    assert (revoked.key_id, revoked.state) == (created.key.key_id, pb2.ApiKey.REVOKED)
    assert (await refused(keys.read(by))).code == "UNAUTHENTICATED"
    await keys.read(keys.own)


async def test_revoking_again_changes_nothing(keys: KeyCalls) -> None:
    request_id = new_request_id()
    first = await keys.revoke(keys.admin, keys.key_id, request_id=request_id)
    for fields in ({}, {"request_id": request_id}, {"request_id": new_request_id()}):
        assert await keys.revoke(keys.admin, keys.key_id, **fields) == first
    assert (await keys.revoke(keys.admin, all=True)).keys == first.keys


async def test_a_key_may_revoke_itself(keys: KeyCalls) -> None:
    await keys.revoke(keys.own, keys.key_id)
    assert (await refused(keys.revoke(keys.own, keys.key_id))).code == "UNAUTHENTICATED"


async def test_revoking_all_leaves_no_key_and_a_repeat_does_not_touch_what_was_made_since(keys: KeyCalls) -> None:
    created = [await keys.create(keys.admin, "keys:admin") for _ in range(2)]
    rotated = await keys.rotate(keys.admin, created[0].key.key_id)
    request_id = new_request_id()
    revoked = (await keys.revoke(keys.own, all=True, request_id=request_id)).keys
    assert [key.state for key in revoked] == [pb2.ApiKey.REVOKED] * 4
    for key in (keys.key, rotated.api_key, *(answer.api_key for answer in created)):
        assert (await refused(keys.list(as_key(key)))).code == "UNAUTHENTICATED"
    new = await keys.create(keys.admin)
    repeated = (await keys.revoke(keys.admin, all=True, request_id=request_id)).keys
    assert [key.state for key in repeated] == [pb2.ApiKey.REVOKED] * 4 + [pb2.ApiKey.ACTIVE]
    await keys.read(as_key(new.api_key))


async def test_keys_are_listed_the_oldest_first_page_by_page_and_never_in_clear(keys: KeyCalls) -> None:
    answers = [await keys.create(keys.own, display_name=f"number {number}") for number in range(4)]
    answers.append(await keys.rotate(keys.own, answers[0].key.key_id))
    wanted = [keys.key_id, *(answer.key.key_id for answer in answers)]
    listed: list[pb2.ApiKey] = []
    token = ""
    while token or not listed:
        page = await keys.list(keys.own, page_size=2, page_token=token)
        assert len(page.keys) == min(2, len(wanted) - len(listed))
        listed += page.keys
        token = page.next_page_token
    assert [key.key_id for key in listed] == wanted
    assert list((await keys.list(keys.own)).keys) == listed
    text = repr(listed)
    for clear in (keys.key, *(answer.api_key for answer in answers)):
        assert clear[:-12] in text
        assert clear[-12:] not in text


async def test_a_page_token_holds_for_its_tenant_alone(keys: KeyCalls) -> None:
    await keys.create(keys.admin)
    token = (await keys.list(keys.admin, page_size=1)).next_page_token
    other = await new_tenant(keys.stack, keys.warehouse)
    refusal = await refused(other.list(keys.admin, page_token=token))
    assert (refusal.code, refusal.fields) == ("INVALID_ARGUMENT", ("page_token",))


async def test_an_unknown_tenant_is_not_found_by_an_admin(keys: KeyCalls) -> None:
    unknown = KeyCalls(keys.stack, keys.warehouse, "nobody_at_all", "", "key_0123456789abcdef")
    calls = (
        unknown.create(keys.admin),
        unknown.rotate(keys.admin, unknown.key_id),
        unknown.revoke(keys.admin, unknown.key_id),
        unknown.list(keys.admin),
    )
    for refusal in await asyncio.gather(*map(refused, calls)):
        assert (refusal.code, refusal.reason) == ("NOT_FOUND", "TENANT_NOT_FOUND")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def aging(warehouse: Warehouse, clock: FakeClock, tmp_path: Path) -> AsyncIterator[KeyCalls]:
    """Keys of an installation whose policy wants them rotated after 30 days."""
    async with tenant_stack(tmp_path, warehouse, clock=clock, key_max_age_days=30) as stack:
        yield await new_tenant(stack, warehouse)


async def test_an_active_key_is_overdue_once_the_rotation_policy_wants_another(
    aging: KeyCalls, clock: FakeClock
) -> None:
    (key,) = (await aging.list(aging.admin)).keys
    assert key.rotation_due_time.ToDatetime() - key.create_time.ToDatetime() == timedelta(days=30)
    await clock.advance(30 * DAY_SECONDS - 1)
    assert not (await aging.list(aging.admin)).keys[0].rotation_overdue
    await clock.advance(1)
    assert (await aging.list(aging.admin)).keys[0].rotation_overdue
    await aging.read(aging.own)  # nothing is refused for it
    rotated = await aging.rotate(aging.admin)
    assert not rotated.superseded_key.rotation_overdue
    assert not rotated.key.rotation_overdue


async def test_a_superseded_key_works_until_the_last_second_of_its_grace(aging: KeyCalls, clock: FakeClock) -> None:
    await aging.rotate(aging.admin, grace_period=seconds(7 * DAY_SECONDS))
    await clock.advance(7 * DAY_SECONDS - 0.001)
    await aging.read(aging.own)
    assert (await aging.by_id())[aging.key_id].state == pb2.ApiKey.SUPERSEDED
    await clock.advance(0.001)
    assert (await refused(aging.read(aging.own))).code == "UNAUTHENTICATED"
    assert (await aging.by_id())[aging.key_id].state == pb2.ApiKey.EXPIRED
