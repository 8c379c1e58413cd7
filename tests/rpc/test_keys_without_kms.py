"""KMS away, slow, throttling or refusing us: keys are not made, nothing is half done, keys that there are work, and the same calls succeed
once it is back."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.cloud.kms_v1 import DecryptRequest, EncryptRequest

from common.api_keys.hashing import digest
from common.clock import SystemClock
from common.tenants.tenant import STATE
from common.warehouse.warehouse import TableRef, Warehouse
from convergence.tenant.v1 import tenant_service_pb2
from local_stack.kms.crypto import decrypt, encrypt
from local_stack.kms.keys import Keys
from local_stack.kms.state import StateFile
from tests.local_kms import KEY, Fake
from tests.rpc.key_calls import TIMEOUT_SECONDS, KeyCalls, new_request_id, new_tenant
from tests.rpc.statuses import Refusal, refused
from tests.rpc.tenant_stack import TenantStack, as_key, tenant_stack

KMS_SECONDS = 0.5
"""How long one call of KMS may take."""
SLOW = "slow"
UNAVAILABLE = ("UNAVAILABLE", "DEPENDENCY_UNAVAILABLE", True)
REFUSED = ("FAILED_PRECONDITION", "DEPENDENCY_REFUSED", False)
TROUBLES = {
    grpc.StatusCode.UNAVAILABLE: UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED: UNAVAILABLE,
    SLOW: UNAVAILABLE,
    grpc.StatusCode.PERMISSION_DENIED: REFUSED,
}


class TroubledKms:
    """Real keys; as long as there is `trouble`, calls of the type `with_calls` have it."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self.trouble: grpc.StatusCode | str | None = None
        self.with_calls: type = EncryptRequest

    async def answer(self, request: Any) -> Any:
        if isinstance(request, self.with_calls) and self.trouble is not None:
            if self.trouble == SLOW:
                await asyncio.sleep(2 * KMS_SECONDS)
            return grpc.StatusCode.UNAVAILABLE if self.trouble == SLOW else self.trouble
        return encrypt(self._keys, request) if isinstance(request, EncryptRequest) else decrypt(self._keys, request)


@pytest.fixture
async def kms(tmp_path: Path) -> AsyncIterator[TroubledKms]:
    file = StateFile(tmp_path / "kms")
    keys = Keys(file, SystemClock())
    keys.ensure_key(KEY)
    yield TroubledKms(keys)
    file.close()


@pytest.fixture
async def stack(kms: TroubledKms, warehouse: Warehouse, tmp_path: Path) -> AsyncIterator[TenantStack]:
    async with (
        Fake(kms.answer).serving() as fake,
        tenant_stack(tmp_path, warehouse, kms_address=fake.address, kms_timeout_seconds=KMS_SECONDS) as running,
    ):
        yield running


@pytest.fixture
async def keys(stack: TenantStack, warehouse: Warehouse) -> KeyCalls:
    return await new_tenant(stack, warehouse)


class Calls:
    """One call of each method that makes a key; each can be made again as it is."""

    def __init__(self, keys: KeyCalls) -> None:
        self._keys = keys
        self.onboarded = f"t_{uuid.uuid4().hex[:16]}"
        self._request_ids = [new_request_id() for _ in range(3)]

    def make(self) -> list[Any]:
        onboard, create, rotate = self._request_ids
        request = tenant_service_pb2.OnboardRequest(tenant_id=self.onboarded, request_id=onboard)
        return [
            self._keys.stack.stub.Onboard(request, metadata=self._keys.admin, timeout=TIMEOUT_SECONDS),
            self._keys.create(self._keys.admin, request_id=create),
            self._keys.rotate(self._keys.admin, self._keys.key_id, request_id=rotate),
        ]


def told(refusal: Refusal) -> tuple[str, str, bool]:
    return refusal.code, refusal.reason, refusal.retry


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_a_key_that_cannot_be_encrypted_leaves_nothing_and_is_made_by_the_same_call_later(
    keys: KeyCalls, kms: TroubledKms, trouble: grpc.StatusCode | str
) -> None:
    calls = Calls(keys)
    before = await keys.rows()
    kms.trouble = trouble
    refusals = await asyncio.gather(*map(refused, calls.make()))
    assert [told(refusal) for refusal in refusals] == [TROUBLES[trouble]] * 3
    assert await keys.rows() == before, "no new row, and the old key untouched"
    assert await keys.warehouse.list_rows(TableRef(calls.onboarded, "api_keys")) == []
    assert (await keys.warehouse.get_dataset(calls.onboarded)).labels[STATE] == "creating"
    await keys.list(keys.own)  # keys are verified, and their changes looked up, without KMS

    kms.trouble = None
    await _all_succeed(keys, calls)


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_a_key_that_was_made_and_cannot_be_decrypted_is_had_by_the_same_call_later(
    keys: KeyCalls, kms: TroubledKms, trouble: grpc.StatusCode | str
) -> None:
    calls = Calls(keys)
    kms.trouble, kms.with_calls = trouble, DecryptRequest
    refusals = await asyncio.gather(*map(refused, calls.make()))
    assert [told(refusal) for refusal in refusals] == [TROUBLES[trouble]] * 3
    made = await keys.rows()
    assert len(made) == 3, "one created, one rotated"
    await keys.read(keys.own)

    kms.trouble = None
    await _all_succeed(keys, calls)
    assert sorted(map(repr, await keys.rows())) == sorted(map(repr, made))


async def _all_succeed(keys: KeyCalls, calls: Calls) -> None:
    onboarded, created, rotated = await asyncio.gather(*calls.make())
    assert {row["key_hash"] for row in await keys.rows()} == {
        digest(key) for key in (keys.key, created.api_key, rotated.api_key)
    }
    (row,) = await keys.warehouse.list_rows(TableRef(calls.onboarded, "api_keys"))
    assert row["key_hash"] == digest(onboarded.api_key)
    for key in (created.api_key, rotated.api_key):
        await keys.read(as_key(key))
    assert await asyncio.gather(*calls.make()) == [onboarded, created, rotated]
