"""CreateKey on both warehouses: what the key may do, who may make it, and that one request makes one key."""

import asyncio
from datetime import UTC, datetime, timedelta

from common.api_keys.changes import EncryptedKey, KeySpec, insert_key_statement
from common.api_keys.hashing import digest
from common.api_keys.key import mint
from common.api_keys.store import key_context
from common.clock import SystemClock
from common.digest import short_digest
from common.warehouse.effects import Effects
from convergence.tenant.v1 import api_key_pb2 as pb2
from tenant_service.key_id import key_id_of
from tests.rpc.key_calls import ALL_SCOPES, KeyCalls, new_request_id
from tests.rpc.statuses import refused
from tests.rpc.tenant_stack import as_key

SCOPE_MISSING = ("PERMISSION_DENIED", "SCOPE_MISSING")


async def test_a_new_key_works_at_once_for_its_scopes_and_no_others(keys: KeyCalls) -> None:
    await keys.read(keys.own)  # this replica knows the tenant's keys before there is another
    expires = datetime.now(UTC) + timedelta(days=1)
    created = await keys.create(keys.own, "runs:write", "runs:read", expire_time=expires, display_name="Für Berichte")
    await keys.read(as_key(created.api_key))
    refusal = await refused(keys.list(as_key(created.api_key)))
    assert (refusal.code, refusal.reason) == SCOPE_MISSING

    key = created.key
    assert (key.tenant_id, key.display_name, key.create_principal) == (keys.tenant_id, "Für Berichte", keys.key_id)
    assert (list(key.scopes), key.state) == (["runs:read", "runs:write"], pb2.ApiKey.ACTIVE)
    assert key.expire_time.ToDatetime(tzinfo=UTC) == expires
    assert key.display_prefix == created.api_key[: len(keys.tenant_id) + len("_api_") + 4]
    assert (await keys.by_id())[key.key_id] == key


async def test_keys_are_stored_as_digest_and_ciphertext_and_nowhere_in_clear(keys: KeyCalls) -> None:
    created = await keys.create(keys.admin, request_id=new_request_id())
    answers = [created, await keys.rotate(keys.admin, created.key.key_id, request_id=new_request_id())]
    rows = {row["key_id"]: row for row in await keys.rows()}
    everything = repr([*rows.values(), *await keys.audit()])
    for answer in answers:
        row = rows[answer.key.key_id]
        ciphertext = bytes(row["ciphertext"])  # type: ignore[arg-type]
        assert (row["key_hash"], row["hash_algorithm"]) == (digest(answer.api_key), "sha256")
        context = key_context(keys.tenant_id, answer.key.key_id)
        assert await keys.stack.cipher.decrypt_value(ciphertext, context) == answer.api_key
        assert answer.api_key[-16:] not in everything, "repr shows the bytes of a ciphertext, too"


async def test_a_key_gives_only_scopes_that_it_has_and_an_admin_all(keys: KeyCalls) -> None:
    minor = as_key((await keys.create(keys.admin, "keys:admin", "runs:read")).api_key)
    refusal = await refused(keys.create(minor, "runs:read", "runs:write", "credentials:admin"))
    assert (refusal.code, refusal.reason) == SCOPE_MISSING
    assert refusal.metadata == {"scope": "credentials:admin"}
    assert list((await keys.create(minor, "runs:read", "keys:admin")).key.scopes) == ["keys:admin", "runs:read"]
    assert list((await keys.create(keys.own, *ALL_SCOPES)).key.scopes) == ALL_SCOPES
    assert len(await keys.rows()) == 4


async def test_one_request_makes_one_key_for_an_admin_and_for_every_key_with_its_scopes(keys: KeyCalls) -> None:
    other = as_key((await keys.create(keys.admin, "keys:admin", "runs:read")).api_key)
    minor = as_key((await keys.create(keys.admin, "keys:admin")).api_key)
    request_id = new_request_id()
    callers = (keys.own, keys.admin, other, keys.own)
    answers = await asyncio.gather(*(keys.create(by, request_id=request_id) for by in callers))
    assert len({answer.SerializeToString(deterministic=True) for answer in answers}) == 1
    assert await keys.create(other, request_id=request_id) == answers[0]
    assert len(await keys.rows()) == 4
    refusal = await refused(keys.create(minor, request_id=request_id))
    assert (refusal.code, refusal.reason) == SCOPE_MISSING


async def test_a_request_id_of_another_request_is_refused(keys: KeyCalls) -> None:
    request_id = new_request_id()
    await keys.create(keys.own, request_id=request_id, display_name="one")
    calls = (
        keys.create(keys.own, request_id=request_id, display_name="another"),
        keys.create(keys.own, "runs:write", request_id=request_id, display_name="one"),
        keys.rotate(keys.own, request_id=request_id),
        keys.revoke(keys.own, all=True, request_id=request_id),
    )
    for refusal in await asyncio.gather(*map(refused, calls)):
        assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")
    assert {key.state for key in (await keys.by_id()).values()} == {pb2.ApiKey.ACTIVE}
    assert len(await keys.rows()) == 2


async def test_a_request_id_that_hits_on_another_keys_row_gives_away_nothing_that_the_caller_has_not(
    keys: KeyCalls,
) -> None:
    minor = as_key((await keys.create(keys.admin, "keys:admin")).api_key)
    request_id, major = new_request_id(), mint(keys.tenant_id)
    key_id = key_id_of(short_digest([keys.tenant_id, request_id]))
    encrypted = await keys.stack.cipher.encrypt_value(major.reveal(), key_context(keys.tenant_id, key_id))
    row, spec = EncryptedKey.of(keys.tenant_id, key_id, major, encrypted), KeySpec("", ALL_SCOPES)
    statement = insert_key_statement(keys.tenant_id, row, spec, create_time=datetime.now(UTC), principal="admin")
    await Effects(keys.warehouse, SystemClock()).run(f"insert_{request_id}", statement)
    assert key_id in await keys.by_id()
    refusal = await refused(keys.create(minor, "keys:admin", request_id=request_id))
    assert (refusal.code, refusal.reason) == SCOPE_MISSING


async def test_a_key_is_given_again_after_it_has_expired_but_made_no_more(keys: KeyCalls) -> None:
    soon, request_id = datetime.now(UTC) + timedelta(seconds=2), new_request_id()
    first = again = await keys.create(keys.admin, expire_time=soon, request_id=request_id)
    async with asyncio.timeout(20):
        while again.key.state != pb2.ApiKey.EXPIRED:
            again = await keys.create(keys.admin, expire_time=soon, request_id=request_id)
    assert again.api_key == first.api_key
    for fields in ({}, {"request_id": new_request_id()}):
        refusal = await refused(keys.create(keys.admin, expire_time=soon, **fields))
        assert (refusal.code, refusal.fields) == ("INVALID_ARGUMENT", ("expire_time",))
    assert len(await keys.rows()) == 2
