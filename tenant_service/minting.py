"""Making keys: one per row however often it is asked for, since every answer is decrypted from the row and never kept from the making."""

from common.api_keys.changes import EncryptedKey, KeyChanges, KeySpec
from common.api_keys.details import KeyDetails
from common.api_keys.key import mint
from common.api_keys.store import KeyStore, key_context
from common.clock import Clock
from common.encryption.cipher import Cipher
from common.errors import ScopeMissing, Terminal, Unauthenticated
from common.rpc.caller import Caller
from common.secret import Secret

_SCOPE = "keys:admin"
"""What it takes to have a key made."""


class Minting:
    """Makes keys, and reads them back. One for the process. Every method raises Transient, Unavailable and DependencyRefused; calling
    again is safe."""

    def __init__(self, *, keys: KeyStore, changes: KeyChanges, cipher: Cipher, clock: Clock) -> None:
        self._keys = keys
        self._changes = changes
        self._cipher = cipher
        self._clock = clock

    async def obtain(self, effect_id: str, tenant_id: str, key_id: str, spec: KeySpec, *, principal: str) -> KeyDetails:
        """The key of that id: added under `effect_id`, or as whoever came first added it.

        An INSERT conflicts with nothing, so it runs under a job id; whoever comes second finds the job done and reads the row.
        """
        details = await self._keys.find(tenant_id, key_id)
        if details is None:
            new = await self.encrypted(tenant_id, key_id)
            await self._changes.insert(effect_id, tenant_id, new, spec, principal=principal)
            details = await self._keys.find(tenant_id, key_id)
        if details is None:
            raise Terminal("A key is missing although its insertion is done")
        return details

    async def encrypted(self, tenant_id: str, key_id: str) -> EncryptedKey:
        """A new key for the row of that id, which from here on nobody reads without KMS."""
        key = mint(tenant_id)
        encrypted = await self._cipher.encrypt_value(key.reveal(), key_context(tenant_id, key_id))
        return EncryptedKey.of(tenant_id, key_id, key, encrypted)

    async def in_clear(self, caller: Caller, details: KeyDetails) -> Secret:
        """The key of a row, for the answer to a caller who had it made or repeats that call. Raises DecryptionFailed, too.

        Raises ScopeMissing for a key that can do more than the caller, and ScopeMissing or Unauthenticated for a caller whose own key was
        revoked or superseded while the call was under way: what it made then, nobody is told.
        """
        caller.require_scopes(details.record.scopes)
        if not caller.is_admin:
            self._require_held(await self._keys.find(details.tenant_id, caller.principal), details)
        context = key_context(details.tenant_id, details.key_id)
        return Secret(await self._cipher.decrypt_value(details.ciphertext, context))

    def _require_held(self, own: KeyDetails | None, made: KeyDetails) -> None:
        if own is None or own.record.revoke_time is not None:
            raise Unauthenticated
        if own.superseded_by == made.key_id:  # by this very call
            return
        scopes = own.record.scopes_at(self._clock.now())
        if scopes is None:
            raise Unauthenticated
        if _SCOPE not in scopes:
            raise ScopeMissing(_SCOPE)
