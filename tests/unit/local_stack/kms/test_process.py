"""The emulator as a process: its first line, its end, its refusals, and kill -9."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from google.api_core import exceptions
from google.cloud.kms_v1 import CryptoKey, CryptoKeyVersion, KeyManagementServiceClient, KeyRing
from google.cloud.kms_v1.services.key_management_service.transports import KeyManagementServiceGrpcTransport

from tests.local_kms import CALL, KEY, EmulatorProcess


@contextmanager
def _client_of(address: str) -> Iterator[KeyManagementServiceClient]:
    """The official synchronous client."""
    with grpc.insecure_channel(address) as channel:
        yield KeyManagementServiceClient(transport=KeyManagementServiceGrpcTransport(channel=channel))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_official_client_works_unchanged_and_a_signal_ends_the_emulator_with_status_0(
    tmp_path: Path, number: signal.Signals
) -> None:
    with EmulatorProcess(tmp_path) as emulator:
        assert emulator.first_line.startswith("listening on 127.0.0.1:")
        with _client_of(emulator.address) as client:
            ring = client.create_key_ring(parent="projects/p/locations/l", key_ring_id="r", key_ring=KeyRing(), **CALL)
            symmetric = CryptoKey(purpose=CryptoKey.CryptoKeyPurpose.ENCRYPT_DECRYPT, labels={"team": "cost"})
            key = client.create_crypto_key(parent=ring.name, crypto_key_id="k", crypto_key=symmetric, **CALL)
            assert client.get_crypto_key(name=key.name, **CALL) == key
            encrypted = client.encrypt(name=key.name, plaintext=b"secret", **CALL)
            assert client.decrypt(name=key.name, ciphertext=encrypted.ciphertext, **CALL).plaintext == b"secret"
        emulator.process.send_signal(number)
        output, errors = emulator.process.communicate(timeout=30)
        assert (emulator.process.returncode, output, errors) == (0, "", "")


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    enough = threading.Event()

    def create_until_killed(client: KeyManagementServiceClient) -> None:
        try:
            while True:
                acknowledged.append(
                    client.create_crypto_key_version(parent=KEY, crypto_key_version=CryptoKeyVersion(), **CALL).name
                )
                if len(acknowledged) == 20:
                    enough.set()
        except exceptions.GoogleAPICallError:
            enough.set()

    with EmulatorProcess(tmp_path, "--key", KEY) as emulator, _client_of(emulator.address) as client:
        ciphertext = client.encrypt(name=KEY, plaintext=b"secret", **CALL).ciphertext
        creator = threading.Thread(target=create_until_killed, args=(client,))
        creator.start()
        enough.wait(timeout=30)
        emulator.process.kill()
        creator.join(timeout=30)
    assert len(acknowledged) >= 20

    with EmulatorProcess(tmp_path, "--key", KEY) as emulator, _client_of(emulator.address) as client:
        for name in acknowledged:
            assert client.get_crypto_key_version(name=name, **CALL).name == name
        assert client.decrypt(name=KEY, ciphertext=ciphertext, **CALL).plaintext == b"secret"


def test_a_port_in_use_and_a_readable_token_end_it_with_a_message(tmp_path: Path) -> None:
    with EmulatorProcess(tmp_path / "first") as first:
        port = first.address.rpartition(":")[2]
        with EmulatorProcess(tmp_path / "second", "--port", port) as second:
            _, errors = second.process.communicate(timeout=30)
            assert second.process.returncode == 1
            assert port in errors
            assert "Traceback" not in errors
        first.token_file.chmod(0o644)
        with EmulatorProcess(tmp_path / "third", "--token-file", str(first.token_file)) as third:
            _, errors = third.process.communicate(timeout=30)
            assert third.process.returncode == 1
            assert "must be of mode 0600" in errors
