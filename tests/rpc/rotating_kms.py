"""A KMS whose key is rotated, and which goes away and comes back."""

from pathlib import Path

from google.cloud.kms_v1 import CryptoKeyVersion
from google.protobuf.field_mask_pb2 import FieldMask

from tests.local_kms import CALL, KEY, EmulatorProcess, client_of, version_name

State = CryptoKeyVersion.CryptoKeyVersionState


class Kms:
    """A KMS emulator in a process of its own: rotated, killed, started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = EmulatorProcess(folder, "--key", KEY)
        self.address = self._process.address

    async def rotate(self) -> None:
        """Make a new version, which encrypts from now on."""
        async with client_of(self.address) as client:
            made = await client.create_crypto_key_version(parent=KEY, crypto_key_version=CryptoKeyVersion(), **CALL)
            number = made.name.rpartition("/")[2]
            await client.update_crypto_key_primary_version(name=KEY, crypto_key_version_id=number, **CALL)

    async def set_state(self, number: int, state: int) -> None:
        """Enable or disable a version."""
        async with client_of(self.address) as client:
            version = CryptoKeyVersion(name=version_name(number), state=state)
            mask = FieldMask(paths=["state"])
            await client.update_crypto_key_version(crypto_key_version=version, update_mask=mask, **CALL)

    def go(self) -> None:
        """kill -9."""
        self._process.__exit__()

    def come_back(self) -> None:
        """Serve again, with the same keys."""
        self._process = EmulatorProcess(self._folder, "--key", KEY, "--port", self.address.partition(":")[2])
