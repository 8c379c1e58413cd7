"""PutCredential, ListCredentials and DeleteCredential on both warehouses: what is kept, what is told, one version after the other."""

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.credentials.store import CREDENTIALS_TABLE, CredentialStore, credential_context
from common.encryption.cipher import Context
from common.errors import DecryptionFailed
from common.warehouse.warehouse import Parameter, QueryJob, Statement, Warehouse
from convergence.tenant.v1 import credential_pb2 as pb2
from tests.rpc.credential_calls import CredentialCalls
from tests.rpc.key_calls import KeyCalls, new_request_id, new_tenant
from tests.rpc.statuses import refused
from tests.rpc.tenant_stack import as_key, tenant_stack
from tests.service_accounts import EMAIL, key_file, rsa_key, secrets_of

AWS = {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
EACH_KIND: dict[str, Any] = {
    "gcp_service_account": key_file(),
    "openai_api_key": "sk-proj-0123456789abcdef",
    "aws_access_key": AWS,
    "generic_token": "token-of-another-service",
}
IDENTITIES = {"gcp_service_account": EMAIL, "aws_access_key": AWS["access_key_id"]}


@pytest.fixture
def credentials(keys: KeyCalls) -> CredentialCalls:
    """A new tenant's credentials, on each warehouse."""
    return CredentialCalls(keys)


async def _plaintext(credentials: CredentialCalls, row: Any) -> str:
    context = credential_context(credentials.tenant_id, str(row["credential_id"]))
    return await credentials.keys.stack.cipher.decrypt_value(bytes(row["ciphertext"]), context)


async def test_a_credential_of_each_kind_is_kept_encrypted_for_its_row_and_told_of_without_the_secret(
    credentials: CredentialCalls,
) -> None:
    own = credentials.keys.own
    put = [await credentials.put(f"a_{kind}", by=own, **{kind: value}) for kind, value in EACH_KIND.items()]
    for answer, kind in zip(put, EACH_KIND, strict=True):
        assert (answer.name, answer.tenant_id, answer.version) == (f"a_{kind}", credentials.tenant_id, 1)
        assert pb2.Credential.Kind.Name(answer.kind) == kind.upper()
        assert answer.identity == IDENTITIES.get(kind, "")
        assert answer.create_principal == credentials.keys.key_id
    assert list((await credentials.list(by=own)).credentials) == sorted(put, key=lambda each: each.name)
    rows = await credentials.rows()
    kept = {str(row["kind"]): await _plaintext(credentials, row) for row in rows}
    assert {**kept, "aws_access_key": json.loads(kept["aws_access_key"])} == EACH_KIND
    assert all(str(row["kms_key_version"]).endswith("/cryptoKeyVersions/1") for row in rows)


async def test_no_secret_is_in_an_answer_a_row_or_a_log(
    credentials: CredentialCalls, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    for _ in range(2):
        said += [
            repr(await credentials.put(kind, request_id=new_request_id(), **{kind: value}))
            for kind, value in EACH_KIND.items()
        ]
    refusals = [
        await refused(credentials.put("robot", gcp_service_account=key_file(type="authorized_user"))),
        await refused(credentials.put("robot", generic_token=f"{EACH_KIND['generic_token']} and a space")),
        await refused(credentials.put("robot", aws_access_key={**AWS, "access_key_id": "short"})),
    ]
    said += [repr(await credentials.list()), repr(await credentials.delete("openai_api_key")), repr(refusals)]
    for table in await credentials.keys.warehouse.list_tables(credentials.tenant_id):
        said += map(repr, await credentials.keys.warehouse.list_rows(table))
    printed = capsys.readouterr()
    said += [caplog.text, printed.out, printed.err]
    assert "PutCredential" in printed.out + printed.err + caplog.text, "what the services log is among it"
    secrets = [
        EACH_KIND["openai_api_key"],
        AWS["secret_access_key"],
        EACH_KIND["generic_token"],
        *secrets_of(rsa_key()),
    ]
    assert [secret for secret in secrets if secret in "\n".join(said)] == []


async def test_a_replaced_credential_is_gone_and_the_next_version_may_be_of_another_kind(
    credentials: CredentialCalls,
) -> None:
    await credentials.put(generic_token="first")
    answer = await credentials.put(aws_access_key=AWS)
    assert (answer.version, pb2.Credential.Kind.Name(answer.kind)) == (2, "AWS_ACCESS_KEY")
    assert await credentials.current() == [("robot", 2)]
    first, second = await credentials.rows()
    assert (first["ciphertext"], first["ended_by"]) == (b"", second["credential_id"])
    assert first["delete_time"] == second["create_time"]
    assert second["delete_time"] is None
    assert json.loads(await _plaintext(credentials, second)) == AWS


async def test_of_eight_that_are_put_at_once_each_has_a_version_and_the_last_is_current(
    credentials: CredentialCalls,
) -> None:
    answers = await asyncio.gather(*(credentials.put(generic_token=f"token-{number}") for number in range(8)))
    assert sorted(answer.version for answer in answers) == list(range(1, 9))
    assert await credentials.current() == [("robot", 8)]
    rows = await credentials.rows()
    assert [row["version"] for row in rows] == list(range(1, 9))
    assert [bool(row["ciphertext"]) for row in rows] == [False] * 7 + [True]
    last = next(number for number, answer in enumerate(answers) if answer.version == 8)
    assert await _plaintext(credentials, rows[-1]) == f"token-{last}"


async def test_puts_and_deletions_at_once_leave_one_history(credentials: CredentialCalls) -> None:
    await credentials.put(generic_token="first")
    calls = [credentials.put(generic_token=f"token-{number}") for number in range(4)]
    outcomes = await asyncio.gather(*calls, *(credentials.delete() for _ in range(3)), return_exceptions=True)
    deleted = [answer.version for answer in outcomes[4:] if isinstance(answer, pb2.Credential)]
    rows = await credentials.rows()
    assert [row["version"] for row in rows] == [1, 2, 3, 4, 5]
    assert [row["version"] for row in rows if str(row["ended_by"]).startswith("delete_")] == sorted(deleted)
    assert len([row for row in rows if row["delete_time"] is None]) <= 1
    assert all(not row["ciphertext"] for row in rows if row["delete_time"] is not None)


async def test_a_deleted_credential_is_erased_and_its_name_goes_on_counting(credentials: CredentialCalls) -> None:
    put = await credentials.put(gcp_service_account=key_file())
    assert await credentials.delete() == put
    assert await credentials.current() == []
    (row,) = await credentials.rows()
    assert row["ciphertext"] == b""
    assert row["delete_time"] is not None
    refusal = await refused(credentials.delete())
    assert (refusal.code, refusal.reason) == ("NOT_FOUND", "CREDENTIAL_NOT_FOUND")
    assert (await credentials.put(generic_token="second")).version == 2
    (first, _) = await credentials.rows()
    assert str(first["ended_by"]).startswith("delete_"), "what ended it is not written over"


async def test_a_name_that_never_was_cannot_be_deleted(credentials: CredentialCalls) -> None:
    await credentials.put("other", generic_token="token")
    refusal = await refused(credentials.delete())
    assert (refusal.code, refusal.reason) == ("NOT_FOUND", "CREDENTIAL_NOT_FOUND")
    assert await credentials.current() == [("other", 1)]


async def test_a_repeated_put_stores_nothing_and_answers_as_before_also_after_it_was_replaced(
    credentials: CredentialCalls,
) -> None:
    request: dict[str, Any] = {"generic_token": "first", "request_id": new_request_id()}
    answers = await asyncio.gather(*(credentials.put(**request) for _ in range(4)))
    assert answers == [answers[0]] * 4
    assert len(await credentials.rows()) == 1
    await credentials.put(generic_token="second")
    assert await credentials.put(**request) == answers[0]
    assert await credentials.current() == [("robot", 2)]


@pytest.mark.parametrize("other", [{"generic_token": "other"}, {"openai_api_key": "sk-first"}, {"name": "other"}])
async def test_a_request_id_is_good_for_one_secret_kind_and_name(
    credentials: CredentialCalls, other: dict[str, Any]
) -> None:
    request: dict[str, Any] = {"name": "robot", "request_id": new_request_id()}
    await credentials.put(**request, generic_token="sk-first")
    if "name" in other:
        other = {**other, "generic_token": "sk-first"}
    refusal = await refused(credentials.put(**{**request, **other}))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")
    assert await credentials.current() == [("robot", 1)]


async def test_a_repeated_deletion_deletes_nothing_that_was_stored_since(credentials: CredentialCalls) -> None:
    put = await credentials.put(generic_token="first")
    request_id = new_request_id()
    assert await credentials.delete(request_id=request_id) == put
    await credentials.put(generic_token="second")
    assert await credentials.delete(request_id=request_id) == put
    assert await credentials.current() == [("robot", 2)]


async def test_credentials_are_listed_by_name_page_by_page(credentials: CredentialCalls) -> None:
    for name in ("c", "a", "d", "b"):
        await credentials.put(name, generic_token="token")
    await credentials.delete("b")
    first = await credentials.list(page_size=2)
    second = await credentials.list(page_size=2, page_token=first.next_page_token)
    assert [[each.name for each in page.credentials] for page in (first, second)] == [["a", "c"], ["d"]]
    assert second.next_page_token == ""


async def test_only_a_key_with_its_scope_may_touch_credentials(credentials: CredentialCalls) -> None:
    keys = credentials.keys
    able = as_key((await keys.create(keys.admin, "credentials:admin")).api_key)
    unable = as_key((await keys.create(keys.admin, "keys:admin", "runs:read", "runs:write")).api_key)
    calls: list[Callable[[Any], Any]] = [
        lambda by: credentials.put(by=by, generic_token="token"),
        lambda by: credentials.list(by=by),
        lambda by: credentials.delete(by=by),
    ]
    for call in calls:
        refusal = await refused(call(unable))
        assert (refusal.code, refusal.reason) == ("PERMISSION_DENIED", "SCOPE_MISSING")
        await call(able)


async def test_what_was_done_is_in_the_audit_log_by_name(credentials: CredentialCalls) -> None:
    await credentials.put(generic_token="token")
    await credentials.delete()
    await refused(credentials.delete())
    audit = [row for row in await credentials.keys.audit() if "Credential" in str(row["method"])]
    outcomes = sorted((row for row in audit if row["phase"] == "OUTCOME"), key=lambda row: str(row["create_time"]))
    assert [(str(row["method"]).rpartition("/")[2], row["resource"], row["outcome"]) for row in outcomes] == [
        ("PutCredential", "robot", "OK"),
        ("DeleteCredential", "robot", "OK"),
        ("DeleteCredential", "robot", "NOT_FOUND"),
    ]


async def test_ciphertexts_that_were_swapped_between_rows_tables_or_tenants_do_not_decrypt(
    credentials: CredentialCalls, warehouse: Warehouse
) -> None:
    await credentials.put("first", generic_token="first")
    await credentials.put("second", generic_token="second")
    foreign = CredentialCalls(await new_tenant(credentials.keys.stack, warehouse))
    await foreign.put("first", generic_token="foreign")
    cipher, store = credentials.keys.stack.cipher, CredentialStore(warehouse)
    (key_row,) = await credentials.keys.rows()

    async def of(name: str) -> Any:
        return await store.current(credentials.tenant_id, name)

    own = {name: (await of(name)).ciphertext for name in ("first", "second")}
    others = await store.current(foreign.tenant_id, "first")
    assert others is not None
    for stolen in (own["second"], others.ciphertext, bytes(key_row["ciphertext"])):  # type: ignore[arg-type]
        sql = f"UPDATE `{credentials.tenant_id}.{CREDENTIALS_TABLE}` SET ciphertext = @stolen WHERE name = 'first'"
        statement = Statement(sql, (Parameter("stolen", "BYTES", stolen),))
        job = QueryJob(f"swap-{new_request_id()}", statement)
        await warehouse.submit(job)
        await warehouse.wait(job.job_id, timeout_seconds=30)
        row = await of("first")
        assert row.ciphertext == stolen
        with pytest.raises(DecryptionFailed):
            await cipher.decrypt_value(row.ciphertext, credential_context(credentials.tenant_id, row.credential_id))
    second = await of("second")
    good = credential_context(credentials.tenant_id, second.credential_id)
    assert await cipher.decrypt_value(second.ciphertext, good) == "second"
    with pytest.raises(DecryptionFailed):
        await cipher.decrypt_value(second.ciphertext, Context(good.tenant_id, good.table, good.row_id, "api_key"))


async def test_a_credential_too_large_for_the_kms_is_refused_before_it_is_asked(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    async with tenant_stack(tmp_path, warehouse, kms_max_bytes=8192) as stack:
        credentials = CredentialCalls(await new_tenant(stack, warehouse))
        assert (await credentials.put(generic_token="x" * 7168)).version == 1
        refusal = await refused(credentials.put(generic_token="x" * 7169))
    assert (refusal.code, refusal.fields) == ("INVALID_ARGUMENT", ("generic_token",))


async def test_without_kms_a_put_is_unavailable_leaves_nothing_and_succeeds_when_repeated(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    request: dict[str, Any] = {"generic_token": "token", "request_id": new_request_id()}
    async with tenant_stack(tmp_path, warehouse) as stack:
        tenant = await new_tenant(stack, warehouse)
        await CredentialCalls(tenant).put("before", generic_token="token")
    async with tenant_stack(tmp_path, warehouse, kms_address="127.0.0.1:1", kms_timeout_seconds=0.2) as stack:
        credentials = CredentialCalls(KeyCalls(stack, warehouse, tenant.tenant_id, tenant.key, tenant.key_id))
        refusal = await refused(credentials.put(**request))
        assert (refusal.code, refusal.retry) == ("UNAVAILABLE", True)
        assert await credentials.current() == [("before", 1)], "listing needs no KMS"
        assert (await credentials.delete("before")).version == 1, "nor does deleting"
    async with tenant_stack(tmp_path, warehouse) as stack:
        credentials = CredentialCalls(KeyCalls(stack, warehouse, tenant.tenant_id, tenant.key, tenant.key_id))
        assert (await credentials.put(**request)).version == 1
        assert await credentials.current() == [("robot", 1)]
