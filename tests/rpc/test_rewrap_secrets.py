"""After a rotation of the KMS key every stored secret is brought under the new version: none is lost, moved, shown or overwritten."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest
import structlog

from common.api_keys.store import key_context
from common.credentials.store import credential_context
from common.encryption.cipher import Encrypted
from common.errors import DecryptionFailed, DependencyRefused
from common.tenants.tenant import STATE
from common.warehouse.warehouse import Parameter, Statement, TableRef, Warehouse
from convergence.errors.v1 import error_reason_pb2 as reasons
from convergence.tenant.v1 import maintenance_pb2 as pb2
from convergence.tenant.v1 import tenant_service_pb2 as tenants_pb2
from tests.local_kms import version_name
from tests.rpc.earlier_release import old_tenant
from tests.rpc.held_warehouse import HeldWarehouse
from tests.rpc.own_warehouse import own_warehouse
from tests.rpc.rotating_kms import Kms, State
from tests.rpc.secret_rows import credentials, execute, key_row, put_credentials, write_key
from tests.rpc.statuses import refused
from tests.rpc.tenant_stack import TenantStack, tenant_stack
from tests.warehouses import KINDS

Answer = pb2.RewrapSecretsResponse
V1, V2 = version_name(1), version_name(2)
METHOD = "/convergence.tenant.v1.TenantService/RewrapSecrets"


@pytest.fixture
def kms(tmp_path: Path) -> Any:
    running = Kms(tmp_path / "kms-process")
    yield running
    running.go()


@pytest.fixture(params=KINDS)
async def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Warehouse]:
    async with own_warehouse(request.param, tmp_path) as connect:
        yield connect()


@pytest.fixture
def held(warehouse: Warehouse) -> HeldWarehouse:
    """The warehouse, holding what replaces secrets back when a test wants."""
    return HeldWarehouse(warehouse, part="rewrap_")


@pytest.fixture
async def stack(held: HeldWarehouse, kms: Kms, tmp_path: Path) -> AsyncIterator[TenantStack]:
    async with tenant_stack(
        tmp_path, cast("Warehouse", held), kms_address=kms.address, kms_timeout_seconds=2
    ) as running:
        yield running


async def rewrap(stack: TenantStack, tenant_id: str = "") -> list[Answer]:
    request = pb2.RewrapSecretsRequest(tenant_id=tenant_id)
    return [answer async for answer in stack.stub.RewrapSecrets(request, metadata=stack.as_admin, timeout=60)]


def onboarding(**fields: Any) -> tenants_pb2.OnboardRequest:
    return tenants_pb2.OnboardRequest(tenant_id=f"t_{uuid.uuid4().hex[:16]}", request_id=str(uuid.uuid4()), **fields)


async def onboard(stack: TenantStack, request: tenants_pb2.OnboardRequest) -> tenants_pb2.OnboardResponse:
    answer: tenants_pb2.OnboardResponse = await stack.stub.Onboard(request, metadata=stack.as_admin, timeout=60)
    return answer


async def audited(warehouse: Warehouse, tenant_id: str) -> list[tuple[str, object]]:
    rows = await warehouse.list_rows(TableRef(tenant_id, "audit_log"))
    return sorted((str(row["phase"]), row["outcome"]) for row in rows if row["method"] == METHOD)


async def test_after_a_rewrap_of_all_tenants_the_old_version_can_be_destroyed(
    stack: TenantStack, warehouse: Warehouse, kms: Kms
) -> None:
    requests = [onboarding() for _ in range(3)]
    keys = [(await onboard(stack, request)).api_key for request in requests]
    with_credentials, suspended, half_made = (request.tenant_id for request in requests)
    await put_credentials(stack, warehouse, with_credentials, "one", "", "käse 🧀")
    await warehouse.set_labels(await warehouse.get_dataset(suspended), {STATE: "suspended"})
    await warehouse.set_labels(await warehouse.get_dataset(half_made), {STATE: "creating"})
    old = await old_tenant(warehouse, stack.cipher)
    deleted = await old_tenant(warehouse, stack.cipher, state="deleted")
    assert [dict(answer.secrets_by_key_version) for answer in await rewrap(stack)][-1] == {V1: 6}
    await kms.rotate()
    late = onboarding()
    await onboard(stack, late)

    answers = await rewrap(stack)
    assert [answer.done_tenant_count for answer in answers] == [1, 2, 3, 4, 5]
    assert {answer.tenant_count for answer in answers} == {5}
    rewrapped = {answer.tenant_id: answer.rewrapped_count for answer in answers}
    assert rewrapped == {with_credentials: 3, suspended: 1, half_made: 1, old.tenant_id: 1, late.tenant_id: 0}
    assert {(answer.failed_count, answer.error) for answer in answers} == {(0, 0)}
    assert dict(answers[-1].secrets_by_key_version) == {V2: 7}
    assert (await key_row(warehouse, deleted.tenant_id))["kms_key_version"] == V1, "nobody needs it again"
    for tenant_id in (with_credentials, suspended, old.tenant_id):
        assert await audited(warehouse, tenant_id) == [("ATTEMPT", None), ("OUTCOME", "OK")]
    assert await audited(warehouse, late.tenant_id) == []

    again = await rewrap(stack)
    assert ({a.rewrapped_count for a in again}, dict(again[-1].secrets_by_key_version)) == ({0}, {V2: 7})

    await kms.set_state(1, State.DISABLED)
    assert await credentials(stack, warehouse, with_credentials) == {"id_0": "one", "id_2": "käse 🧀"}
    assert (await onboard(stack, requests[0])).api_key == keys[0], "a replay decrypts"
    assert (await onboard(stack, requests[2])).api_key == keys[2], "a half-made onboarding is completed with its key"


async def test_one_tenants_secrets_are_rewrapped_where_one_is_named(
    stack: TenantStack, warehouse: Warehouse, kms: Kms
) -> None:
    named, other = onboarding(), onboarding()
    await onboard(stack, named)
    await onboard(stack, other)
    await kms.rotate()
    (answer,) = await rewrap(stack, named.tenant_id)
    assert (answer.tenant_id, answer.rewrapped_count, dict(answer.secrets_by_key_version)) == (
        named.tenant_id,
        1,
        {V2: 1},
    )
    assert (await key_row(warehouse, other.tenant_id))["kms_key_version"] == V1
    for tenant_id, expected in (
        ("nobody_at_all", ("NOT_FOUND", "TENANT_NOT_FOUND")),
        ("A-b", ("INVALID_ARGUMENT", "FIELD_INVALID")),
    ):
        refusal = await refused(rewrap(stack, tenant_id))
        assert (refusal.code, refusal.reason) == expected


async def test_a_rewrapped_secret_is_still_bound_to_its_tenant_and_row(
    stack: TenantStack, warehouse: Warehouse, kms: Kms
) -> None:
    request, thief = onboarding(), onboarding()
    await onboard(stack, request)
    await onboard(stack, thief)
    await kms.rotate()
    await rewrap(stack)
    row, thiefs = [await key_row(warehouse, each.tenant_id) for each in (request, thief)]
    ciphertext = cast("bytes", row["ciphertext"])
    for context in (
        key_context(thief.tenant_id, str(thiefs["key_id"])),
        key_context(thief.tenant_id, str(row["key_id"])),
        key_context(request.tenant_id, "key_0000000000000000"),
        credential_context(request.tenant_id, str(row["key_id"])),
    ):
        with pytest.raises(DecryptionFailed):
            await stack.cipher.decrypt_value(ciphertext, context)
    assert (
        await stack.cipher.decrypt_value(ciphertext, key_context(request.tenant_id, str(row["key_id"])))
    ).startswith(request.tenant_id)


async def test_a_secret_that_does_not_decrypt_is_counted_and_named_and_stops_no_other(
    stack: TenantStack, warehouse: Warehouse, kms: Kms
) -> None:
    request, thief = onboarding(), onboarding()
    await onboard(stack, request)
    await onboard(stack, thief)
    await put_credentials(stack, warehouse, thief.tenant_id, "a-plaintext-secret")
    stolen = cast("bytes", (await key_row(warehouse, request.tenant_id))["ciphertext"])
    await write_key(warehouse, thief.tenant_id, Encrypted(stolen, V1))
    moved = await key_row(warehouse, thief.tenant_id)
    await kms.rotate()
    with structlog.testing.capture_logs() as logs:
        answers = {answer.tenant_id: answer for answer in await rewrap(stack)}
    failed, good = answers[thief.tenant_id], answers[request.tenant_id]
    assert (failed.rewrapped_count, failed.failed_count, failed.error) == (1, 1, 0)
    assert (good.rewrapped_count, good.failed_count) == (1, 0)
    assert dict(list(answers.values())[-1].secrets_by_key_version) == {V1: 1, V2: 2}, "V1 cannot be retired"
    assert await key_row(warehouse, thief.tenant_id) == moved, "what was moved there is left as it is"
    (told,) = [log for log in logs if log["event"] == "a stored secret cannot be encrypted anew"]
    assert (told["tenant_id"], told["table"], told["row_id"]) == (thief.tenant_id, "api_keys", moved["key_id"])
    assert told["reason"] == "DECRYPTION_FAILED"
    assert "a-plaintext-secret" not in repr(logs)


async def test_a_secret_of_a_disabled_version_is_left_until_that_is_enabled_again(
    stack: TenantStack, warehouse: Warehouse, kms: Kms
) -> None:
    request, later = onboarding(), onboarding()
    await onboard(stack, request)
    await kms.rotate()
    await onboard(stack, later)
    await kms.rotate()
    await kms.set_state(1, State.DISABLED)
    answers = {answer.tenant_id: answer for answer in await rewrap(stack)}
    assert (answers[request.tenant_id].failed_count, answers[later.tenant_id].rewrapped_count) == (1, 1)
    row = await key_row(warehouse, request.tenant_id)
    with pytest.raises(DependencyRefused):
        await stack.cipher.decrypt_value(
            cast("bytes", row["ciphertext"]), key_context(request.tenant_id, str(row["key_id"]))
        )
    await kms.set_state(1, State.ENABLED)
    assert sum(answer.rewrapped_count for answer in await rewrap(stack)) == 1


async def test_what_is_replaced_or_erased_during_a_rewrap_is_not_overwritten(
    stack: TenantStack, warehouse: Warehouse, held: HeldWarehouse, kms: Kms
) -> None:
    request = onboarding()
    await onboard(stack, request)
    tenant_id = request.tenant_id
    await put_credentials(stack, warehouse, tenant_id, "stays", "replaced", "erased")
    await kms.rotate()
    held.hold()
    call = asyncio.create_task(rewrap(stack, tenant_id))
    await held.waiting.wait()
    theirs = await stack.cipher.encrypt_value("theirs", credential_context(tenant_id, "id_1"))
    sql = f"UPDATE `{tenant_id}.cloud_credentials` SET ciphertext = @new WHERE credential_id = @id"
    for row_id, new in (("id_1", theirs.ciphertext), ("id_2", b"")):
        parameters = (Parameter("new", "BYTES", new), Parameter("id", "STRING", row_id))
        await execute(warehouse, Statement(sql, parameters))
    held.release()
    (answer,) = await call
    assert answer.rewrapped_count == 2, "the key and the credential that stays"
    assert await credentials(stack, warehouse, tenant_id) == {"id_0": "stays", "id_1": "theirs"}
    assert (answer.failed_count, answer.error) == (1, 0), "the row that was replaced still names the older version"
    (answer,) = await rewrap(stack, tenant_id)
    assert (answer.rewrapped_count, answer.failed_count) == (1, 0)
    assert await credentials(stack, warehouse, tenant_id) == {"id_0": "stays", "id_1": "theirs"}


async def test_rewraps_at_once_rewrap_each_secret_once(stack: TenantStack, warehouse: Warehouse, kms: Kms) -> None:
    request = onboarding()
    key = (await onboard(stack, request)).api_key
    secrets = [f"secret {number}" for number in range(20)]
    await put_credentials(stack, warehouse, request.tenant_id, *secrets)
    await kms.rotate()
    both = await asyncio.gather(rewrap(stack), rewrap(stack))
    assert sum(answer.rewrapped_count for answers in both for answer in answers) == len(secrets) + 1
    assert sorted((await credentials(stack, warehouse, request.tenant_id)).values()) == sorted(secrets)
    assert (await onboard(stack, request)).api_key == key


async def test_a_kms_that_goes_away_in_the_middle_ends_the_stream_and_the_same_call_goes_on(
    stack: TenantStack, warehouse: Warehouse, held: HeldWarehouse, kms: Kms
) -> None:
    request = onboarding()
    await onboard(stack, request)
    secrets = [f"secret {number}" for number in range(150)]
    await put_credentials(stack, warehouse, request.tenant_id, *secrets)
    others = [onboarding() for _ in range(6)]
    for other in others:
        await onboard(stack, other)
    await kms.rotate()
    held.hold()
    stream: Callable[..., Any] = stack.stub.RewrapSecrets
    call = stream(pb2.RewrapSecretsRequest(), metadata=stack.as_admin, timeout=60)
    await held.waiting.wait()
    kms.go()
    held.release()
    answers: list[Answer] = []

    async def listen() -> None:
        async for answer in call:
            answers.append(answer)

    refusal = await refused(listen())
    assert (refusal.code, refusal.reason, refusal.retry) == ("UNAVAILABLE", "DEPENDENCY_UNAVAILABLE", True)
    failed = [answer for answer in answers if answer.error]
    assert failed
    assert {answer.error for answer in failed} == {reasons.DEPENDENCY_UNAVAILABLE}
    assert all(answer.failed_count for answer in failed)
    assert ("OUTCOME", "UNAVAILABLE") in await audited(warehouse, failed[0].tenant_id)

    refusal = await refused(rewrap(stack))
    assert (refusal.code, refusal.reason, refusal.retry) == ("UNAVAILABLE", "DEPENDENCY_UNAVAILABLE", True)

    kms.come_back()
    assert sorted((await credentials(stack, warehouse, request.tenant_id)).values()) == sorted(secrets)
    again = await rewrap(stack)
    assert {(answer.failed_count, answer.error) for answer in again} == {(0, 0)}
    assert dict(again[-1].secrets_by_key_version) == {V2: len(secrets) + 1 + len(others)}
    assert sorted((await credentials(stack, warehouse, request.tenant_id)).values()) == sorted(secrets)
