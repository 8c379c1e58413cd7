"""What the emulator acknowledged is on disk, and its files are for their owner alone."""

import stat
from pathlib import Path

import pytest
from google.api_core import exceptions
from google.cloud.kms_v1 import CryptoKeyVersion

from common.clock import SystemClock
from local_stack.kms.keys import Keys, KmsError
from local_stack.kms.state import StateFile, StateFileError
from tests.local_kms import CALL, KEY, KEY_RING, client_of, emulator, version_name


async def test_rotated_keys_and_states_survive_a_restart(tmp_path: Path) -> None:
    async with emulator(tmp_path) as address, client_of(address) as client:
        old = await client.encrypt(name=KEY, plaintext=b"old", **CALL)
        await client.create_crypto_key_version(parent=KEY, crypto_key_version=CryptoKeyVersion(), **CALL)
        await client.update_crypto_key_primary_version(name=KEY, crypto_key_version_id="2", **CALL)
        new = await client.encrypt(name=KEY, plaintext=b"new", **CALL)
    async with emulator(tmp_path) as address, client_of(address) as client:
        assert (await client.decrypt(name=KEY, ciphertext=old.ciphertext, **CALL)).plaintext == b"old"
        assert (await client.decrypt(name=KEY, ciphertext=new.ciphertext, **CALL)).plaintext == b"new"
        assert (await client.encrypt(name=KEY, plaintext=b"x", **CALL)).name == version_name(2)
        await client.destroy_crypto_key_version(name=version_name(1), **CALL)
    async with emulator(tmp_path) as address, client_of(address) as client:
        with pytest.raises(exceptions.FailedPrecondition):
            await client.decrypt(name=KEY, ciphertext=old.ciphertext, **CALL)


async def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    directory = tmp_path / "kms"
    directory.mkdir(mode=0o755)
    async with emulator(directory):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()} == {0o600}


def test_a_file_that_a_crash_left_half_written_is_not_read(tmp_path: Path) -> None:
    file = StateFile(tmp_path)
    Keys(file, SystemClock()).ensure_key(KEY)
    (tmp_path / "kms.new").write_text('{"key_rings": {')
    assert KEY in file.load().keys
    Keys(file, SystemClock()).create_version(KEY)
    assert list(file.load().keys[KEY].versions) == [1, 2]
    file.close()


def test_a_damaged_file_is_reported_without_its_content_and_left_alone(tmp_path: Path) -> None:
    file = StateFile(tmp_path)
    damaged = '{"keys": {"k": {"create_time": "key-material"}}}'
    (tmp_path / "kms.json").write_text(damaged)
    with pytest.raises(StateFileError, match="damaged") as caught:
        file.load()
    assert "key-material" not in str(caught.value)
    assert (tmp_path / "kms.json").read_text() == damaged
    file.close()


def test_two_emulators_never_share_a_directory(tmp_path: Path) -> None:
    first = StateFile(tmp_path)
    with pytest.raises(StateFileError, match="another KMS emulator"):
        StateFile(tmp_path)
    first.close()
    StateFile(tmp_path).close()


def test_a_change_that_cannot_be_written_has_not_happened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = StateFile(tmp_path)
    keys = Keys(file, SystemClock())
    keys.ensure_key(KEY)

    def fails(_state: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(file, "save", fails)
    with pytest.raises(OSError, match="disk full"):
        keys.create_version(KEY)
    with pytest.raises(KmsError):
        keys.version(KEY, 2)
    file.close()


def test_ensuring_a_key_that_exists_changes_nothing(tmp_path: Path) -> None:
    file = StateFile(tmp_path)
    keys = Keys(file, SystemClock())
    keys.create_key_ring(KEY_RING)
    keys.ensure_key(KEY)
    before = (tmp_path / "kms.json").read_bytes()
    keys.ensure_key(KEY)
    assert (tmp_path / "kms.json").read_bytes() == before
    file.close()


def test_key_material_is_not_in_reprs(tmp_path: Path) -> None:
    file = StateFile(tmp_path)
    keys = Keys(file, SystemClock())
    keys.ensure_key(KEY)
    assert "AesGcmKey" in keys.enabled_keyset(KEY, 1)
    assert "AesGcmKey" not in repr(file.load())
    file.close()
