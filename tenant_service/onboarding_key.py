"""The first key of a tenant: one, however often and by however many at the same time its onboarding is repeated."""

from collections.abc import Sequence

from common.api_keys.key import mint
from common.api_keys.store import KeyStore, insert_key_statement, key_context
from common.clock import Clock
from common.encryption.cipher import Cipher
from common.errors import Terminal
from common.secret import Secret
from common.warehouse.effects import Effects

_DISPLAY_NAME = "onboarding"


class OnboardingKey:
    """Makes the key, or reads back the one that was made."""

    def __init__(self, *, effects: Effects, keys: KeyStore, cipher: Cipher, clock: Clock) -> None:
        self._effects = effects
        self._keys = keys
        self._cipher = cipher
        self._clock = clock

    async def obtain(self, tenant_id: str, *, claim: str, scopes: Sequence[str], principal: str) -> Secret:
        """The tenant's first key, in clear. Raises Transient, Unavailable or DependencyRefused; calling again is safe.

        The row is inserted under a job id made from the claim, since an INSERT conflicts with nothing; whoever comes second finds the
        job done and decrypts the row.
        """
        key_id = f"key_{claim[:16]}"
        ciphertext = await self._keys.ciphertext(tenant_id, key_id)
        if ciphertext is None:
            await self._insert(tenant_id, key_id, claim=claim, scopes=scopes, principal=principal)
            ciphertext = await self._keys.ciphertext(tenant_id, key_id)
        if ciphertext is None:
            raise Terminal("The tenant's first key is missing although its insertion is done")
        return Secret(await self._cipher.decrypt_value(ciphertext, key_context(tenant_id, key_id)))

    async def _insert(self, tenant_id: str, key_id: str, *, claim: str, scopes: Sequence[str], principal: str) -> None:
        key = mint(tenant_id)
        encrypted = await self._cipher.encrypt_value(key.reveal(), key_context(tenant_id, key_id))
        statement = insert_key_statement(
            tenant_id,
            key_id,
            key,
            encrypted,
            display_name=_DISPLAY_NAME,
            scopes=tuple(scopes),
            create_time=self._clock.now(),
            principal=principal,
        )
        await self._effects.run(f"onboard_{tenant_id}_{claim}_key", statement)
