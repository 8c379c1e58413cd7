"""The emulator answers as Cloud KMS does, to the official client."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import google_crc32c
import pytest
from google.api_core import exceptions
from google.cloud.kms_v1 import CryptoKey, CryptoKeyVersion, KeyManagementServiceAsyncClient, KeyRing
from google.protobuf.field_mask_pb2 import FieldMask

from tests.clock import FakeClock
from tests.local_kms import CALL, KEY, KEY_RING, client_of, emulator, version_name

State = CryptoKeyVersion.CryptoKeyVersionState


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def client(tmp_path: Path, clock: FakeClock) -> AsyncIterator[KeyManagementServiceAsyncClient]:
    async with emulator(tmp_path / "kms", clock) as address, client_of(address) as client:
        yield client


async def _encrypt(client: KeyManagementServiceAsyncClient, plaintext: bytes = b"secret", **fields: Any) -> Any:
    return await client.encrypt(request={"name": KEY, "plaintext": plaintext, **fields}, **CALL)


async def _decrypt(client: KeyManagementServiceAsyncClient, ciphertext: bytes, **fields: Any) -> Any:
    return await client.decrypt(request={"name": KEY, "ciphertext": ciphertext, **fields}, **CALL)


async def _set_state(client: KeyManagementServiceAsyncClient, number: int, state: int) -> Any:
    return await client.update_crypto_key_version(
        crypto_key_version=CryptoKeyVersion(name=version_name(number), state=state),
        update_mask=FieldMask(paths=["state"]),
        **CALL,
    )


async def test_what_was_encrypted_is_decrypted_with_its_additional_data(
    client: KeyManagementServiceAsyncClient,
) -> None:
    encrypted = await _encrypt(client, additional_authenticated_data=b"row 1")
    decrypted = await _decrypt(client, encrypted.ciphertext, additional_authenticated_data=b"row 1")
    assert decrypted.plaintext == b"secret"
    assert decrypted.used_primary
    assert encrypted.name == version_name(1)
    assert b"secret" not in encrypted.ciphertext


async def test_one_plaintext_never_gives_the_same_ciphertext_twice(client: KeyManagementServiceAsyncClient) -> None:
    assert (await _encrypt(client)).ciphertext != (await _encrypt(client)).ciphertext


@pytest.mark.parametrize("other", [b"", b"row 2", b"row 1 "])
async def test_other_additional_data_does_not_decrypt(client: KeyManagementServiceAsyncClient, other: bytes) -> None:
    encrypted = await _encrypt(client, additional_authenticated_data=b"row 1")
    with pytest.raises(exceptions.InvalidArgument):
        await _decrypt(client, encrypted.ciphertext, additional_authenticated_data=other)


async def test_a_ciphertext_with_any_byte_changed_does_not_decrypt(client: KeyManagementServiceAsyncClient) -> None:
    ciphertext = (await _encrypt(client)).ciphertext
    for position in range(len(ciphertext)):
        changed = bytearray(ciphertext)
        changed[position] ^= 1
        with pytest.raises(exceptions.InvalidArgument):
            await _decrypt(client, bytes(changed))


@pytest.mark.parametrize("length", [0, 1, 3, 4, 5, 16, 31])
async def test_a_truncated_ciphertext_does_not_decrypt(client: KeyManagementServiceAsyncClient, length: int) -> None:
    ciphertext = (await _encrypt(client)).ciphertext
    with pytest.raises(exceptions.InvalidArgument):
        await _decrypt(client, ciphertext[:length])


async def test_a_ciphertext_of_another_key_does_not_decrypt(client: KeyManagementServiceAsyncClient) -> None:
    symmetric = CryptoKey(purpose=CryptoKey.CryptoKeyPurpose.ENCRYPT_DECRYPT)
    await client.create_crypto_key(parent=KEY_RING, crypto_key_id="other", crypto_key=symmetric, **CALL)
    ciphertext = (await _encrypt(client)).ciphertext
    with pytest.raises(exceptions.InvalidArgument):
        await client.decrypt(request={"name": f"{KEY_RING}/cryptoKeys/other", "ciphertext": ciphertext}, **CALL)


@pytest.mark.parametrize("field", ["plaintext_crc32c", "additional_authenticated_data_crc32c"])
async def test_a_request_to_encrypt_with_a_wrong_checksum_is_refused(
    client: KeyManagementServiceAsyncClient, field: str
) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        await _encrypt(client, **{field: google_crc32c.value(b"something else")})


@pytest.mark.parametrize("field", ["ciphertext_crc32c", "additional_authenticated_data_crc32c"])
async def test_a_request_to_decrypt_with_a_wrong_checksum_is_refused(
    client: KeyManagementServiceAsyncClient, field: str
) -> None:
    ciphertext = (await _encrypt(client)).ciphertext
    with pytest.raises(exceptions.InvalidArgument):
        await _decrypt(client, ciphertext, **{field: google_crc32c.value(b"something else")})


async def test_answers_carry_checksums_and_say_which_ones_were_verified(
    client: KeyManagementServiceAsyncClient,
) -> None:
    encrypted = await _encrypt(client, plaintext_crc32c=google_crc32c.value(b"secret"))
    assert encrypted.ciphertext_crc32c == google_crc32c.value(encrypted.ciphertext)
    assert encrypted.verified_plaintext_crc32c
    assert not encrypted.verified_additional_authenticated_data_crc32c
    assert (await _decrypt(client, encrypted.ciphertext)).plaintext_crc32c == google_crc32c.value(b"secret")


async def test_64_kib_are_encrypted_and_one_byte_more_is_refused(client: KeyManagementServiceAsyncClient) -> None:
    largest = b"x" * 65536
    encrypted = await _encrypt(client, largest, additional_authenticated_data=largest)
    decrypted = await _decrypt(client, encrypted.ciphertext, additional_authenticated_data=largest)
    assert decrypted.plaintext == largest
    with pytest.raises(exceptions.InvalidArgument):
        await _encrypt(client, largest + b"x")
    with pytest.raises(exceptions.InvalidArgument):
        await _encrypt(client, additional_authenticated_data=largest + b"x")


async def test_after_rotation_old_ciphertexts_decrypt_and_new_ones_use_the_new_primary(
    client: KeyManagementServiceAsyncClient,
) -> None:
    old = await _encrypt(client)
    assert (
        await client.create_crypto_key_version(parent=KEY, crypto_key_version=CryptoKeyVersion(), **CALL)
    ).name == version_name(2)
    assert (await _encrypt(client)).name == version_name(1), "a new version is not the primary by itself"
    await client.update_crypto_key_primary_version(name=KEY, crypto_key_version_id="2", **CALL)
    assert (await client.get_crypto_key(name=KEY, **CALL)).primary.name == version_name(2)
    assert (await _encrypt(client)).name == version_name(2)
    decrypted = await _decrypt(client, old.ciphertext)
    assert decrypted.plaintext == b"secret"
    assert not decrypted.used_primary


async def test_a_disabled_version_neither_encrypts_nor_decrypts_until_it_is_enabled(
    client: KeyManagementServiceAsyncClient,
) -> None:
    ciphertext = (await _encrypt(client)).ciphertext
    await _set_state(client, 1, State.DISABLED)
    with pytest.raises(exceptions.FailedPrecondition):
        await _encrypt(client)
    with pytest.raises(exceptions.FailedPrecondition):
        await _decrypt(client, ciphertext)
    await _set_state(client, 1, State.ENABLED)
    assert (await _decrypt(client, ciphertext)).plaintext == b"secret"


async def test_a_version_to_be_destroyed_is_unusable_at_once_and_its_material_goes_at_its_time(
    client: KeyManagementServiceAsyncClient, clock: FakeClock, tmp_path: Path
) -> None:
    ciphertext = (await _encrypt(client)).ciphertext
    scheduled = await client.destroy_crypto_key_version(name=version_name(1), **CALL)
    assert scheduled.state is State.DESTROY_SCHEDULED
    assert scheduled.destroy_time == clock.now() + timedelta(days=30)
    with pytest.raises(exceptions.FailedPrecondition):
        await _decrypt(client, ciphertext)
    with pytest.raises(exceptions.FailedPrecondition):
        await _set_state(client, 1, State.ENABLED)
    assert "AesGcmKey" in (tmp_path / "kms" / "kms.json").read_text()

    await clock.advance(30 * 24 * 3600)
    destroyed = await client.get_crypto_key_version(name=version_name(1), **CALL)
    assert destroyed.state is State.DESTROYED
    assert "AesGcmKey" not in (tmp_path / "kms" / "kms.json").read_text()
    with pytest.raises(exceptions.FailedPrecondition):
        await _decrypt(client, ciphertext)


async def test_creating_what_exists_is_refused_and_changes_nothing(client: KeyManagementServiceAsyncClient) -> None:
    ciphertext = (await _encrypt(client)).ciphertext
    ring_of, _, ring = KEY_RING.rpartition("/keyRings/")
    with pytest.raises(exceptions.AlreadyExists):
        await client.create_key_ring(parent=ring_of, key_ring_id=ring, key_ring=KeyRing(), **CALL)
    with pytest.raises(exceptions.AlreadyExists):
        await client.create_crypto_key(
            parent=KEY_RING,
            crypto_key_id="key",
            crypto_key=CryptoKey(purpose=CryptoKey.CryptoKeyPurpose.ENCRYPT_DECRYPT),
            **CALL,
        )
    assert (await _decrypt(client, ciphertext)).plaintext == b"secret"


async def test_what_does_not_exist_is_not_found(client: KeyManagementServiceAsyncClient) -> None:
    for call in [
        client.get_key_ring(name=f"{KEY_RING}x", **CALL),
        client.get_crypto_key(name=f"{KEY}x", **CALL),
        client.get_crypto_key_version(name=version_name(7), **CALL),
        client.encrypt(request={"name": f"{KEY}x", "plaintext": b"x"}, **CALL),
        client.decrypt(request={"name": f"{KEY}x", "ciphertext": b"x"}, **CALL),
        client.create_crypto_key_version(parent=f"{KEY}x", crypto_key_version=CryptoKeyVersion(), **CALL),
        client.update_crypto_key_primary_version(name=KEY, crypto_key_version_id="7", **CALL),
    ]:
        with pytest.raises(exceptions.NotFound):
            await call


@pytest.mark.parametrize("key_id", ["", "a/b", "../x", "x" * 64, "é"])
async def test_malformed_ids_are_refused(client: KeyManagementServiceAsyncClient, key_id: str) -> None:
    symmetric = CryptoKey(purpose=CryptoKey.CryptoKeyPurpose.ENCRYPT_DECRYPT)
    with pytest.raises(exceptions.InvalidArgument):
        await client.create_crypto_key(parent=KEY_RING, crypto_key_id=key_id, crypto_key=symmetric, **CALL)


async def test_what_is_not_emulated_is_refused_instead_of_ignored(client: KeyManagementServiceAsyncClient) -> None:
    signing = CryptoKey(purpose=CryptoKey.CryptoKeyPurpose.ASYMMETRIC_SIGN)
    rotating = CryptoKey(purpose=CryptoKey.CryptoKeyPurpose.ENCRYPT_DECRYPT, rotation_period=timedelta(days=90))
    for unsupported in (signing, rotating):
        with pytest.raises(exceptions.MethodNotImplemented):
            await client.create_crypto_key(parent=KEY_RING, crypto_key_id="new", crypto_key=unsupported, **CALL)


@pytest.mark.parametrize("metadata", [(), (("authorization", "Bearer wrong"),), (("authorization", ""),)])
async def test_a_caller_without_the_token_is_refused(client: KeyManagementServiceAsyncClient, metadata: Any) -> None:
    with pytest.raises(exceptions.Unauthenticated):
        await client.encrypt(request={"name": KEY, "plaintext": b"x"}, **{**CALL, "metadata": metadata})
