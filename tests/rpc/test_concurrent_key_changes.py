"""Changes of keys at the same time, on both warehouses: of rotations one wins, and who hangs up loses nothing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import grpc
import pytest

from common.api_keys.hashing import digest
from common.warehouse.warehouse import JobResult, Warehouse
from convergence.tenant.v1 import api_key_pb2 as pb2
from tests.local_kms import emulator
from tests.passing_on import PassingOn
from tests.rpc.held_warehouse import HeldWarehouse
from tests.rpc.key_calls import KeyCalls, new_request_id, new_tenant, seconds
from tests.rpc.statuses import refusal_of, refused
from tests.rpc.tenant_stack import as_key, tenant_stack

ROTATIONS = 8
IN_PROGRESS = ("ABORTED", "ROTATION_IN_PROGRESS")


@pytest.fixture
async def kms_address(tmp_path: Path) -> AsyncIterator[str]:
    async with emulator(tmp_path / "kms") as address:
        yield address


@pytest.fixture
def held(warehouse: Warehouse) -> HeldWarehouse:
    return HeldWarehouse(warehouse, part="rotate_key_")


@pytest.fixture
async def keys(held: HeldWarehouse, kms_address: str, tmp_path: Path) -> AsyncIterator[KeyCalls]:
    warehouse = cast("Warehouse", held)
    async with tenant_stack(tmp_path, warehouse, kms_address=kms_address) as stack:
        yield await new_tenant(stack, warehouse)


WHO: dict[str, Callable[[KeyCalls], list[tuple[Any, str]]]] = {
    "the key itself": lambda keys: [(keys.own, "")],
    "an admin who names it": lambda keys: [(keys.admin, keys.key_id)],
    "an admin who names none": lambda keys: [(keys.admin, "")],
    "all of them": lambda keys: [(keys.own, ""), (keys.admin, keys.key_id), (keys.admin, ""), (keys.own, keys.key_id)],
}
"""Who rotates a tenant's first key, and the key_id that they give."""


@pytest.mark.parametrize(("who", "grace_seconds"), [*((who, 3600) for who in WHO), ("all of them", 0)])
async def test_of_rotations_at_once_one_wins_and_the_others_are_aborted(
    keys: KeyCalls, held: HeldWarehouse, who: str, grace_seconds: int
) -> None:
    callers = WHO[who](keys)
    held.hold()
    calls = [
        asyncio.ensure_future(_rotate(keys, *callers[number % len(callers)], grace_seconds))
        for number in range(ROTATIONS)
    ]
    for _ in calls:  # each has found the key active, and has a new one ready to take its place
        await held.arrivals.acquire()
    held.release()
    ended = await asyncio.gather(*calls)
    (won,) = [answer for answer in ended if isinstance(answer, pb2.RotateKeyResponse)]
    assert [answer for answer in ended if answer is not won] == [IN_PROGRESS] * (ROTATIONS - 1)
    found = await keys.by_id()
    assert list(found) == [keys.key_id, won.key.key_id], "exactly one new key exists"
    assert (found[keys.key_id].superseded_by, found[won.key.key_id].state) == (won.key.key_id, pb2.ApiKey.ACTIVE)
    await keys.list(as_key(won.api_key))


async def _rotate(keys: KeyCalls, by: Any, key_id: str, grace_seconds: int) -> pb2.RotateKeyResponse | tuple[str, str]:
    try:
        answer: pb2.RotateKeyResponse = await keys.rotate(by, key_id, grace_period=seconds(grace_seconds))
    except grpc.aio.AioRpcError as error:
        refusal = refusal_of(error)
        return refusal.code, refusal.reason
    return answer


async def test_calls_of_one_request_at_once_are_one_rotation(keys: KeyCalls, held: HeldWarehouse) -> None:
    held.hold()
    request_id = new_request_id()
    calls = [asyncio.ensure_future(keys.rotate(by, request_id=request_id)) for by in (keys.admin, keys.own) * 2]
    for _ in calls:
        await held.arrivals.acquire()
    held.release()
    answers = await asyncio.gather(*calls)
    assert len({answer.SerializeToString(deterministic=True) for answer in answers}) == 1
    assert len(await keys.rows()) == 2


async def test_a_rotation_that_lost_rotates_nothing_when_it_is_repeated(keys: KeyCalls, held: HeldWarehouse) -> None:
    held.hold()
    request_ids = [new_request_id() for _ in range(2)]
    calls = [asyncio.ensure_future(keys.rotate(keys.admin, request_id=request_id)) for request_id in request_ids]
    for _ in calls:
        await held.arrivals.acquire()
    held.release()
    ended = await asyncio.gather(*calls, return_exceptions=True)
    (lost,) = [request_id for request_id, end in zip(request_ids, ended, strict=True) if isinstance(end, Exception)]
    before = await keys.by_id()
    again = await refused(keys.rotate(keys.admin, request_id=lost))
    assert (again.code, again.reason) == IN_PROGRESS, "although the key that won is the only active one now"
    assert await keys.by_id() == before


@pytest.mark.parametrize("key_id", ["named", ""])
async def test_a_rotation_that_finds_its_key_superseded_meanwhile_is_aborted_and_takes_no_other(
    keys: KeyCalls, warehouse: Warehouse, kms_address: str, tmp_path: Path, key_id: str
) -> None:
    overtaken = HeldWarehouse(warehouse, part="_attempt")
    overtaken.hold()
    slow = cast("Warehouse", overtaken)
    async with tenant_stack(tmp_path, slow, kms_address=kms_address) as stack:
        other = KeyCalls(stack, slow, keys.tenant_id, keys.key, keys.key_id)
        call = asyncio.ensure_future(refused(other.rotate(keys.admin, key_id and keys.key_id)))
        await overtaken.waiting.wait()
        rotated = await keys.rotate(keys.admin)
        overtaken.release()
        refusal = await call
        assert (refusal.code, refusal.reason) == IN_PROGRESS
    assert list(await keys.by_id()) == [keys.key_id, rotated.key.key_id]
    later = await refused(keys.rotate(keys.admin, keys.key_id))
    assert (later.code, later.reason) == ("FAILED_PRECONDITION", "KEY_NOT_ACTIVE")


async def test_a_rotation_that_finds_its_key_revoked_meanwhile_is_told_so(keys: KeyCalls, held: HeldWarehouse) -> None:
    held.hold()
    call = asyncio.ensure_future(refused(keys.rotate(keys.admin)))
    await held.waiting.wait()
    await keys.revoke(keys.admin, keys.key_id)
    held.release()
    refusal = await call
    assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "KEY_NOT_ACTIVE")
    assert refusal.metadata == {"state": "REVOKED"}
    assert len(await keys.rows()) == 1


class Overlooking(PassingOn):
    """A warehouse on which a key is inserted unseen by the first revocation: on BigQuery an INSERT conflicts with no UPDATE."""

    def __init__(self, warehouse: Warehouse) -> None:
        super().__init__(warehouse)
        self.insertion: Callable[[], Awaitable[Any]] | None = None

    async def wait(self, job_id: str, *, timeout_seconds: float) -> JobResult:
        result = await self.warehouse.wait(job_id, timeout_seconds=timeout_seconds)
        if job_id.startswith("revoke_key_") and self.insertion is not None:
            insertion, self.insertion = self.insertion, None
            await insertion()
        return result


async def test_revoking_all_leaves_no_key_that_was_made_meanwhile(
    warehouse: Warehouse, kms_address: str, tmp_path: Path
) -> None:
    overlooking = Overlooking(warehouse)
    async with tenant_stack(tmp_path, cast("Warehouse", overlooking), kms_address=kms_address) as stack:
        keys = await new_tenant(stack, warehouse)
        overlooking.insertion = lambda: keys.create(keys.admin, "keys:admin")
        revoked = (await keys.revoke(keys.own, all=True)).keys
    assert [key.state for key in revoked] == [pb2.ApiKey.REVOKED] * 2


async def test_who_hangs_up_on_a_rotation_finds_it_done_on_asking_again(keys: KeyCalls, held: HeldWarehouse) -> None:
    held.hold()
    request_id = new_request_id()
    call = keys.rotate(keys.admin, request_id=request_id)
    waiting = asyncio.ensure_future(call.code())
    await held.waiting.wait()
    call.cancel()
    assert await waiting is grpc.StatusCode.CANCELLED
    held.release()
    answer = await keys.rotate(keys.admin, request_id=request_id)
    assert {row["key_hash"] for row in await keys.rows()} == {digest(keys.key), digest(answer.api_key)}
