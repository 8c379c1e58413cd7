"""RotateKey on both warehouses: what passes from the old key to the new one, who may have it, and what it does not do."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from convergence.tenant.v1 import api_key_pb2 as pb2
from tests.rpc.key_calls import ALL_SCOPES, KeyCalls, new_request_id, seconds
from tests.rpc.statuses import refused
from tests.rpc.tenant_stack import as_key

DAY_SECONDS = 24 * 3600
SCOPE_MISSING = ("PERMISSION_DENIED", "SCOPE_MISSING")
AMBIGUOUS = ("FAILED_PRECONDITION", "KEY_AMBIGUOUS")


def grace_of(old: pb2.ApiKey) -> timedelta:
    return old.expire_time.ToDatetime() - old.supersede_time.ToDatetime()


async def test_the_new_key_is_what_the_old_one_was_and_the_old_one_works_on_without_its_admin_scopes(
    keys: KeyCalls,
) -> None:
    expires = datetime.now(UTC) + timedelta(days=30)
    created = await keys.create(keys.admin, *ALL_SCOPES, expire_time=expires, display_name="CI")
    by = as_key(created.api_key)
    rotated = await keys.rotate(by)
    new, old = rotated.key, rotated.superseded_key
    assert (new.state, list(new.scopes), new.display_name) == (pb2.ApiKey.ACTIVE, ALL_SCOPES, "CI")
    assert new.expire_time == created.key.expire_time
    assert new.create_principal == old.key_id == created.key.key_id
    assert (old.state, old.superseded_by, list(old.scopes)) == (pb2.ApiKey.SUPERSEDED, new.key_id, ALL_SCOPES)
    assert grace_of(old) == timedelta(hours=24), "the default"
    assert (await keys.by_id())[old.key_id] == old
    await keys.read(by)
    refusal = await refused(keys.list(by))
    assert (refusal.code, refusal.reason) == SCOPE_MISSING
    await keys.read(as_key(rotated.api_key))
    await keys.list(as_key(rotated.api_key))


async def test_without_grace_the_old_key_is_refused_at_once_by_who_answered(keys: KeyCalls) -> None:
    await keys.read(keys.own)
    rotated = await keys.rotate(keys.own, grace_period=seconds(0))
    assert (rotated.superseded_key.state, grace_of(rotated.superseded_key)) == (pb2.ApiKey.EXPIRED, timedelta(0))
    assert (await refused(keys.read(keys.own))).code == "UNAUTHENTICATED"
    await keys.read(as_key(rotated.api_key))


@pytest.mark.parametrize("grace_seconds", [0, 60, 7 * DAY_SECONDS])
async def test_grace_is_as_long_as_it_was_asked_for(keys: KeyCalls, grace_seconds: int) -> None:
    rotated = await keys.rotate(keys.admin, grace_period=seconds(grace_seconds))
    assert grace_of(rotated.superseded_key) == timedelta(seconds=grace_seconds)


async def test_a_rotation_never_puts_off_the_end_of_a_key(keys: KeyCalls) -> None:
    expires = datetime.now(UTC) + timedelta(hours=1)
    created = await keys.create(keys.admin, expire_time=expires)
    rotated = await keys.rotate(keys.admin, created.key.key_id, grace_period=seconds(7 * DAY_SECONDS))
    assert rotated.superseded_key.expire_time == rotated.key.expire_time == created.key.expire_time


async def test_an_admin_who_names_no_key_rotates_the_only_active_one(keys: KeyCalls) -> None:
    rotated = await keys.rotate(keys.admin)
    assert rotated.superseded_key.key_id == keys.key_id
    again = await keys.rotate(keys.admin)
    assert again.superseded_key.key_id == rotated.key.key_id, "the superseded one does not count"
    await keys.create(keys.admin)
    refusal = await refused(keys.rotate(keys.admin))
    assert (refusal.code, refusal.reason) == AMBIGUOUS
    await keys.revoke(keys.admin, all=True)
    refusal = await refused(keys.rotate(keys.admin))
    assert (refusal.code, refusal.reason) == AMBIGUOUS


async def test_a_key_that_is_not_active_is_not_rotated(keys: KeyCalls) -> None:
    revoked, expired = [(await keys.create(keys.admin)).key.key_id for _ in range(2)]
    await keys.revoke(keys.admin, revoked)
    await keys.rotate(keys.admin, expired, grace_period=seconds(0))
    await keys.rotate(keys.admin, keys.key_id)
    before = await keys.by_id()
    for key_id, state in {revoked: "REVOKED", expired: "EXPIRED", keys.key_id: "SUPERSEDED"}.items():
        refusal = await refused(keys.rotate(keys.admin, key_id))
        assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "KEY_NOT_ACTIVE")
        assert refusal.metadata == {"state": state}
    assert await keys.by_id() == before


async def test_an_unknown_key_is_not_found_and_a_key_given_for_its_id_is_recorded_nowhere(keys: KeyCalls) -> None:
    for unknown in ("key_0123456789abcdef", "nothing", keys.key):
        for call in (keys.rotate(keys.admin, unknown), keys.revoke(keys.own, unknown)):
            refusal = await refused(call)
            assert (refusal.code, refusal.reason) == ("NOT_FOUND", "KEY_NOT_FOUND")
    audit = await keys.audit()
    about_keys = [row for row in audit if str(row["method"]).endswith(("/RotateKey", "/RevokeKey"))]
    assert {row["resource"] for row in about_keys} == {"key_0123456789abcdef", None}
    assert keys.key[-16:] not in repr(audit)
    assert len(await keys.rows()) == 1


async def test_a_key_is_rotated_only_for_those_whom_it_gives_nothing_new(keys: KeyCalls) -> None:
    minor = await keys.create(keys.admin, "keys:admin", "runs:read")
    refusal = await refused(keys.rotate(as_key(minor.api_key), keys.key_id))
    assert (refusal.code, refusal.reason) == SCOPE_MISSING
    assert refusal.metadata == {"scope": "credentials:admin"}
    assert (await keys.by_id())[keys.key_id].state == pb2.ApiKey.ACTIVE
    rotated = await keys.rotate(keys.own, minor.key.key_id)
    assert rotated.superseded_key.key_id == minor.key.key_id


@pytest.mark.parametrize("named", [True, False])
async def test_one_request_rotates_once_and_is_answered_again_to_those_who_may_have_the_key(
    keys: KeyCalls, named: bool
) -> None:
    other = as_key((await keys.create(keys.admin, *ALL_SCOPES)).api_key)
    minor = as_key((await keys.create(keys.admin, "keys:admin")).api_key)
    fields: dict[str, Any] = {
        "key_id": keys.key_id if named else "",
        "request_id": new_request_id(),
        "grace_period": seconds(60),
    }
    first = await keys.rotate(keys.own, **fields)
    for by in (other, keys.admin, as_key(first.api_key)):
        assert await keys.rotate(by, **fields) == first
    for by in (minor, keys.own):
        refusal = await refused(keys.rotate(by, **fields))
        assert (refusal.code, refusal.reason) == SCOPE_MISSING
    refusal = await refused(keys.rotate(keys.admin, **{**fields, "grace_period": seconds(61)}))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")
    assert len(await keys.rows()) == 4
