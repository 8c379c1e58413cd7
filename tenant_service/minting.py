"""Making keys: one per row however often it is asked for, since every answer is decrypted from the row and never kept from the making."""

from common.api_keys.changes import EncryptedKey, KeyChanges, KeyWish
from common.api_keys.details import KeyDetails
from common.api_keys.key import mint
from common.api_keys.store import KeyStore, key_context
from common.encryption.cipher import Cipher
from common.errors import Terminal
from common.secret import Secret


class Minting:
    """Makes keys, and reads them back. One for the process. Every method raises Transient, Unavailable and DependencyRefused; calling
    again is safe."""

    def __init__(self, *, keys: KeyStore, changes: KeyChanges, cipher: Cipher) -> None:
        self._keys = keys
        self._changes = changes
        self._cipher = cipher

    async def obtain(self, effect_id: str, tenant_id: str, key_id: str, wish: KeyWish, *, principal: str) -> KeyDetails:
        """The key of that id: added under `effect_id`, or as whoever came first added it.

        An INSERT conflicts with nothing, so it runs under a job id; whoever comes second finds the job done and reads the row.
        """
        details = await self._keys.find(tenant_id, key_id)
        if details is None:
            new = await self.encrypted(tenant_id, key_id)
            await self._changes.insert(effect_id, tenant_id, new, wish, principal=principal)
            details = await self._keys.find(tenant_id, key_id)
        if details is None:
            raise Terminal("A key is missing although its insertion is done")
        return details

    async def encrypted(self, tenant_id: str, key_id: str) -> EncryptedKey:
        """A new key for the row of that id, which from here on nobody reads without KMS."""
        key = mint(tenant_id)
        encrypted = await self._cipher.encrypt_value(key.reveal(), key_context(tenant_id, key_id))
        return EncryptedKey.of(tenant_id, key_id, key, encrypted)

    async def in_clear(self, details: KeyDetails) -> Secret:
        """The key of a row, for the answer to whoever had it made. Raises DecryptionFailed, too."""
        context = key_context(details.tenant_id, details.key_id)
        return Secret(await self._cipher.decrypt_value(details.ciphertext, context))
