"""A leaked key in its grace period: what its holder cannot do any more, with whatever else leaked with it."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from common.warehouse.warehouse import Warehouse
from convergence.tenant.v1 import api_key_pb2 as pb2
from convergence.tenant.v1 import audit_record_pb2, credential_pb2
from tests.local_kms import emulator
from tests.rpc.held_warehouse import HeldWarehouse
from tests.rpc.key_calls import TIMEOUT_SECONDS, KeyCalls, new_request_id, new_tenant, seconds
from tests.rpc.statuses import refused
from tests.rpc.tenant_stack import tenant_stack


async def test_it_cannot_mint_rotate_revoke_or_read_what_is_told_of_secrets(keys: KeyCalls) -> None:
    rotated = await keys.rotate(keys.admin)
    stub, tenant_id = keys.stack.stub, keys.tenant_id
    calls = (
        keys.create(keys.own, "runs:read"),
        keys.rotate(keys.own),
        keys.rotate(keys.own, keys.key_id),
        keys.rotate(keys.own, rotated.key.key_id),
        keys.revoke(keys.own, rotated.key.key_id),
        keys.revoke(keys.own, all=True),
        keys.list(keys.own),
        stub.ListCredentials(
            credential_pb2.ListCredentialsRequest(tenant_id=tenant_id), metadata=keys.own, timeout=TIMEOUT_SECONDS
        ),
        stub.ListAuditRecords(
            audit_record_pb2.ListAuditRecordsRequest(tenant_id=tenant_id), metadata=keys.own, timeout=TIMEOUT_SECONDS
        ),
    )
    for refusal in await asyncio.gather(*map(refused, calls)):
        assert (refusal.code, refusal.reason) == ("PERMISSION_DENIED", "SCOPE_MISSING")
    assert {key.state for key in (await keys.by_id()).values()} == {pb2.ApiKey.ACTIVE, pb2.ApiKey.SUPERSEDED}
    await keys.read(keys.own)  # what it may still do


async def test_it_cannot_have_an_answer_again_even_its_own(keys: KeyCalls) -> None:
    minted, turned = new_request_id(), new_request_id()
    await keys.create(keys.own, "runs:read", request_id=minted)
    await keys.rotate(keys.own, request_id=turned, grace_period=seconds(3600))
    calls = (
        keys.create(keys.own, "runs:read", request_id=minted),
        keys.rotate(keys.own, request_id=turned, grace_period=seconds(3600)),
    )
    for refusal in await asyncio.gather(*map(refused, calls)):
        assert (refusal.code, refusal.reason) == ("PERMISSION_DENIED", "SCOPE_MISSING")


@pytest.mark.parametrize("way", ["create", "rotate"])
@pytest.mark.parametrize(
    ("end", "told"),
    [("revoke", ("UNAUTHENTICATED", "API_KEY_INVALID")), ("rotate", ("PERMISSION_DENIED", "SCOPE_MISSING"))],
)
async def test_it_is_not_told_of_a_key_that_it_was_making_when_it_was_stopped(
    warehouse: Warehouse, tmp_path: Path, way: str, end: str, told: tuple[str, str]
) -> None:
    held = HeldWarehouse(warehouse, part=f"{way}_key_")
    async with (
        emulator(tmp_path / "kms") as kms_address,
        tenant_stack(tmp_path, warehouse, kms_address=kms_address) as stack,
        tenant_stack(tmp_path, cast("Warehouse", held), kms_address=kms_address) as slow_stack,
    ):
        keys = await new_tenant(stack, warehouse)
        other = await keys.create(keys.admin)
        slow = replace(keys, stack=slow_stack)
        held.hold()
        making = slow.create(keys.own) if way == "create" else slow.rotate(keys.own, other.key.key_id)
        ended = asyncio.ensure_future(refused(making))
        await held.waiting.wait()
        await getattr(keys, end)(keys.admin, keys.key_id)
        held.release()
        refusal = await ended
        assert (refusal.code, refusal.reason) == told


async def test_once_expired_or_revoked_it_is_nobodys_key(keys: KeyCalls) -> None:
    expired = await keys.create(keys.admin, "keys:admin")
    request_id = new_request_id()
    await keys.rotate(keys.admin, keys.key_id)
    await keys.revoke(keys.admin, keys.key_id)
    await keys.rotate(keys.admin, expired.key.key_id, grace_period=seconds(0), request_id=request_id)
    by = (("x-api-key", expired.api_key),)
    calls = (
        keys.read(keys.own),
        keys.create(keys.own),
        keys.rotate(by, grace_period=seconds(0), request_id=request_id),
        keys.list(by),
    )
    refusals = await asyncio.gather(*map(refused, calls))
    assert {(refusal.code, refusal.reason) for refusal in refusals} == {("UNAUTHENTICATED", "API_KEY_INVALID")}
    assert len({refusal.wire for refusal in refusals}) == 1
