"""The cipher port: short secrets, each encrypted for the row that it lies in. `kms.py` is its one adapter."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Context:
    """Where a secret lies and what for: authenticated with it, not encrypted. ValueError for a part that is empty or holds `|`."""

    tenant_id: str
    table: str
    row_id: str
    purpose: str

    def __post_init__(self) -> None:
        if any(not part or "|" in part for part in self._parts()):
            raise ValueError("every part of an encryption context is non-empty and without |")

    def additional_data(self) -> bytes:
        """The additional authenticated data: `tenant|table|row id|purpose`. Stored ciphertexts depend on it, so it never changes."""
        return "|".join(self._parts()).encode()

    def _parts(self) -> tuple[str, str, str, str]:
        return self.tenant_id, self.table, self.row_id, self.purpose


@dataclass(frozen=True, slots=True)
class Encrypted:
    """A ciphertext, and the resource name of the key version that made it (which decrypting does not need)."""

    ciphertext: bytes
    key_version: str


class Cipher(Protocol):
    """Encrypts short secrets. The context's integrity is guaranteed, its secrecy is not."""

    async def encrypt_value(self, plaintext: str, context: Context) -> Encrypted:
        """Encrypt. Raises InvalidInput (too large), Unavailable, DependencyRefused."""
        ...

    async def decrypt_value(self, ciphertext: bytes, context: Context) -> str:
        """Decrypt what `encrypt_value` made for an equal context. Raises DecryptionFailed, Unavailable, DependencyRefused."""
        ...
