"""Secrets through the official client and the real emulator: every attack on a ciphertext, every way that KMS can be away or refuse."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import google_crc32c
import grpc
import pytest
from google.cloud.kms_v1 import CryptoKeyVersion, DecryptResponse, EncryptRequest, EncryptResponse
from google.protobuf.field_mask_pb2 import FieldMask

from common.encryption.cipher import Context
from common.encryption.kms import CloudKms
from common.errors import DecryptionFailed, DependencyRefused, InvalidInput, Unavailable
from common.secret import Secret
from tests.local_kms import CALL, KEY, TOKEN, Fake, client_of, emulator, version_name

ROW = Context(tenant_id="acmeinc_23xv2", table="api_keys", row_id="key-1", purpose="api_key")
API_KEY = "acmeinc_23xv2_api_0123456789abcdef"
State = CryptoKeyVersion.CryptoKeyVersionState


@asynccontextmanager
async def _kms(address: str, **settings: Any) -> AsyncIterator[CloudKms]:
    async with client_of(address) as client:
        yield CloudKms(client, **{"key_name": KEY, "token": Secret(TOKEN), "timeout_seconds": 5.0, **settings})


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    async with emulator(tmp_path / "kms") as address:
        yield address


@pytest.fixture
async def kms(address: str) -> AsyncIterator[CloudKms]:
    async with _kms(address) as kms:
        yield kms


@pytest.mark.parametrize("plaintext", ["", API_KEY, "käse 🧀", "a|b\n\0"])
async def test_a_value_is_decrypted_as_it_was(kms: CloudKms, plaintext: str) -> None:
    encrypted = await kms.encrypt_value(plaintext, ROW)
    assert await kms.decrypt_value(encrypted.ciphertext, ROW) == plaintext
    assert encrypted.key_version == version_name(1)


@pytest.mark.parametrize(
    "elsewhere",
    [
        pytest.param(replace(ROW, tenant_id="techcorp_99zx4"), id="tenant"),
        pytest.param(replace(ROW, table="cloud_credentials"), id="table"),
        pytest.param(replace(ROW, row_id="key-2"), id="row"),
        pytest.param(replace(ROW, purpose="credential"), id="purpose"),
    ],
)
async def test_a_ciphertext_moved_elsewhere_does_not_decrypt(kms: CloudKms, elsewhere: Context) -> None:
    encrypted = await kms.encrypt_value(API_KEY, ROW)
    with pytest.raises(DecryptionFailed):
        await kms.decrypt_value(encrypted.ciphertext, elsewhere)


async def test_a_flipped_bit_anywhere_does_not_decrypt(kms: CloudKms) -> None:
    ciphertext = (await kms.encrypt_value("x", ROW)).ciphertext
    for bit in range(0, len(ciphertext) * 8, 3):
        changed = bytearray(ciphertext)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DecryptionFailed):
            await kms.decrypt_value(bytes(changed), ROW)


async def test_a_truncated_or_extended_ciphertext_does_not_decrypt(kms: CloudKms) -> None:
    ciphertext = (await kms.encrypt_value("x", ROW)).ciphertext
    for changed in (b"", ciphertext[:1], ciphertext[:-1], ciphertext + b"\0", b"plaintext that was never encrypted"):
        with pytest.raises(DecryptionFailed):
            await kms.decrypt_value(changed, ROW)


@pytest.mark.parametrize("part", ["", "a|b", "|"])
@pytest.mark.parametrize("field", ["tenant_id", "table", "row_id", "purpose"])
def test_no_two_contexts_read_the_same(field: str, part: str) -> None:
    with pytest.raises(ValueError, match="non-empty and without"):
        replace(ROW, **{field: part})


def test_the_additional_data_that_stored_ciphertexts_depend_on_is_unchanged() -> None:
    assert ROW.additional_data() == b"acmeinc_23xv2|api_keys|key-1|api_key"


async def test_the_size_limit_is_checked_before_the_call_and_counts_the_context() -> None:
    fake = Fake(answer=lambda _: grpc.StatusCode.INTERNAL)
    async with fake.serving(), _kms(fake.address, max_bytes=100) as kms:
        too_long = "ä" * 33  # 66 bytes of UTF-8 and 36 of context
        with pytest.raises(InvalidInput, match="at most 64 bytes"):
            await kms.encrypt_value(too_long, ROW)
        with pytest.raises(InvalidInput, match="not valid Unicode") as caught:
            await kms.encrypt_value("secret\ud800", ROW)
        assert caught.value.__cause__ is None
    assert not fake.requests


async def test_exactly_the_size_limit_is_encrypted(kms: CloudKms) -> None:
    largest = "x" * (64 * 1024 - len(ROW.additional_data()))
    encrypted = await kms.encrypt_value(largest, ROW)
    assert await kms.decrypt_value(encrypted.ciphertext, ROW) == largest


async def test_old_ciphertexts_decrypt_after_rotation_and_a_restart(tmp_path: Path) -> None:
    async with emulator(tmp_path) as address, _kms(address) as kms, client_of(address) as client:
        old = await kms.encrypt_value("old", ROW)
        await client.create_crypto_key_version(parent=KEY, crypto_key_version=CryptoKeyVersion(), **CALL)
        await client.update_crypto_key_primary_version(name=KEY, crypto_key_version_id="2", **CALL)
        new = await kms.encrypt_value("new", ROW)
    assert (old.key_version, new.key_version) == (version_name(1), version_name(2))
    async with emulator(tmp_path) as address, _kms(address) as kms:
        assert await kms.decrypt_value(old.ciphertext, ROW) == "old"
        assert await kms.decrypt_value(new.ciphertext, ROW) == "new"


async def test_a_disabled_version_is_refused_and_so_is_a_destroyed_one(address: str, kms: CloudKms) -> None:
    encrypted = await kms.encrypt_value(API_KEY, ROW)
    async with client_of(address) as client:
        disabled = CryptoKeyVersion(name=version_name(1), state=State.DISABLED)
        await client.update_crypto_key_version(
            crypto_key_version=disabled, update_mask=FieldMask(paths=["state"]), **CALL
        )
        await _refuses(kms, encrypted.ciphertext)
        await client.destroy_crypto_key_version(name=version_name(1), **CALL)
        await _refuses(kms, encrypted.ciphertext)


async def test_an_unknown_key_and_a_wrong_token_are_refused(address: str) -> None:
    async with _kms(address, key_name=f"{KEY}-other") as kms:
        await _refuses(kms, b"ciphertext")
    async with _kms(address, token=Secret("another")) as kms:
        await _refuses(kms, b"ciphertext")


async def _refuses(kms: CloudKms, ciphertext: bytes) -> None:
    """Neither direction works, and no message names the key."""
    for call in (kms.encrypt_value(API_KEY, ROW), kms.decrypt_value(ciphertext, ROW)):
        with pytest.raises(DependencyRefused) as caught:
            await call
        assert "projects/" not in caught.value.message


def _encrypted(request: Any, **wrong: Any) -> Any:
    """A good answer to Encrypt (of a KMS that does not encrypt) or Decrypt, but for the fields that are `wrong`."""
    if isinstance(request, EncryptRequest):
        good: dict[str, Any] = {
            "name": version_name(1),
            "ciphertext": request.plaintext,
            "ciphertext_crc32c": google_crc32c.value(request.plaintext),
            "verified_plaintext_crc32c": True,
            "verified_additional_authenticated_data_crc32c": True,
        }
        return EncryptResponse(**{**good, **wrong})
    plaintext = request.ciphertext
    return DecryptResponse(**{"plaintext": plaintext, "plaintext_crc32c": google_crc32c.value(plaintext), **wrong})


@pytest.mark.parametrize(
    "wrong",
    [
        {"ciphertext_crc32c": 1},
        {"ciphertext_crc32c": None},
        {"ciphertext": b"damaged"},
        {"verified_plaintext_crc32c": False},
        {"verified_additional_authenticated_data_crc32c": False},
        {"name": f"{KEY}-other/cryptoKeyVersions/1"},
    ],
)
async def test_a_damaged_answer_to_encrypt_is_never_stored(wrong: dict[str, Any]) -> None:
    fake = Fake(answer=lambda request: _encrypted(request, **wrong))
    async with fake.serving(), _kms(fake.address, timeout_seconds=0.3) as kms:
        with pytest.raises(Unavailable):
            await kms.encrypt_value(API_KEY, ROW)
    assert len(fake.requests) > 1, "what was damaged on the way is asked for again"


@pytest.mark.parametrize("wrong", [{"plaintext_crc32c": 1}, {"plaintext_crc32c": None}, {"plaintext": b"damaged"}])
async def test_a_damaged_answer_to_decrypt_is_never_used(wrong: dict[str, Any]) -> None:
    fake = Fake(answer=lambda request: _encrypted(request, **wrong))
    async with fake.serving(), _kms(fake.address, timeout_seconds=0.3) as kms:
        with pytest.raises(Unavailable):
            await kms.decrypt_value(b"ciphertext", ROW)


async def test_a_plaintext_that_is_no_text_is_not_decrypted_to_something_else() -> None:
    fake = Fake(answer=_encrypted)
    async with fake.serving(), _kms(fake.address) as kms:
        with pytest.raises(DecryptionFailed) as caught:
            await kms.decrypt_value(b"secret\xff", ROW)
        assert caught.value.__cause__ is None


async def test_requests_carry_the_checksums_of_what_they_hold() -> None:
    fake = Fake(answer=_encrypted)
    async with fake.serving(), _kms(fake.address) as kms:
        await kms.encrypt_value("value", ROW)
        await kms.decrypt_value(b"value", ROW)
    encrypt, decrypt = fake.requests
    assert encrypt.plaintext_crc32c == decrypt.ciphertext_crc32c == google_crc32c.value(b"value")
    for request in fake.requests:
        assert request.additional_authenticated_data == ROW.additional_data()
        assert request.additional_authenticated_data_crc32c == google_crc32c.value(ROW.additional_data())


@pytest.mark.parametrize("part", [API_KEY.encode(), ROW.additional_data()], ids=["plaintext", "additional data"])
async def test_what_was_damaged_on_the_way_to_kms_is_not_encrypted(
    kms: CloudKms, monkeypatch: pytest.MonkeyPatch, part: bytes
) -> None:
    _damage(monkeypatch, part)
    with pytest.raises(DependencyRefused):
        await kms.encrypt_value(API_KEY, ROW)


@pytest.mark.parametrize("additional", [False, True], ids=["ciphertext", "additional data"])
async def test_what_was_damaged_on_the_way_to_kms_is_not_decrypted(
    kms: CloudKms, monkeypatch: pytest.MonkeyPatch, additional: bool
) -> None:
    ciphertext = (await kms.encrypt_value(API_KEY, ROW)).ciphertext
    _damage(monkeypatch, ROW.additional_data() if additional else ciphertext)
    with pytest.raises(DecryptionFailed):
        await kms.decrypt_value(ciphertext, ROW)


def _damage(monkeypatch: pytest.MonkeyPatch, part: bytes) -> None:
    """Let our checksum of a part of the request be another than that of what arrives."""
    ours = SimpleNamespace(value=lambda data: google_crc32c.value(data) ^ (data == part))
    monkeypatch.setattr(
        "common.encryption.kms.google_crc32c", ours
    )  # the emulator in this process goes on with the right one


@pytest.mark.parametrize("status", ["UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "INTERNAL"])
async def test_a_transient_failure_is_repeated_and_then_unavailable(status: str) -> None:
    answers = iter([grpc.StatusCode[status]] * 2)
    fake = Fake(answer=lambda request: next(answers, None) or _encrypted(request))
    async with fake.serving(), _kms(fake.address) as kms:
        assert (await kms.encrypt_value("value", ROW)).ciphertext == b"value"
    assert len(fake.requests) == 3

    failing = Fake(answer=lambda _: grpc.StatusCode[status])
    async with failing.serving(), _kms(failing.address, timeout_seconds=0.3) as kms:
        with pytest.raises(Unavailable) as caught:
            await kms.encrypt_value("value", ROW)
        assert caught.value.retry_delay_seconds > 0
        assert "projects/" not in caught.value.message


@pytest.mark.parametrize(
    "status",
    [
        "PERMISSION_DENIED",
        "NOT_FOUND",
        "FAILED_PRECONDITION",
        "UNAUTHENTICATED",
        "UNIMPLEMENTED",
        "UNKNOWN",
        "OUT_OF_RANGE",
    ],
)
async def test_a_refusal_is_final_and_asked_for_once(status: str) -> None:
    fake = Fake(answer=lambda _: grpc.StatusCode[status])
    async with fake.serving(), _kms(fake.address) as kms:
        await _refuses(kms, b"ciphertext")
    assert len(fake.requests) == 2, "one for each direction"


async def test_without_a_kms_a_call_is_unavailable_at_its_deadline_and_not_a_minute_later() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # taken, and not listening: connections are refused
        await _is_unavailable_within_its_deadline(closed.getsockname()[1])


async def test_a_kms_that_never_answers_is_unavailable_at_the_deadline() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        await _is_unavailable_within_its_deadline(silent.getsockname()[1])


async def _is_unavailable_within_its_deadline(port: int) -> None:
    async with _kms(f"127.0.0.1:{port}", timeout_seconds=1.0) as kms:
        start = time.monotonic()
        results = await asyncio.gather(
            kms.encrypt_value(API_KEY, ROW), kms.decrypt_value(b"ciphertext", ROW), return_exceptions=True
        )
        assert time.monotonic() - start < 3.0
    assert [type(result) for result in results] == [Unavailable, Unavailable]


async def test_neither_secrets_nor_the_token_are_in_reprs_or_errors(address: str, kms: CloudKms) -> None:
    with pytest.raises(DecryptionFailed) as caught:
        await kms.decrypt_value((await kms.encrypt_value(API_KEY, ROW)).ciphertext, replace(ROW, row_id="key-2"))
    shown = f"{caught.value!r} {caught.value.__cause__!r} {kms!r} {vars(kms)!r}"
    assert API_KEY not in shown
    assert TOKEN not in shown
