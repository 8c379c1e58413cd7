"""Tells who holds an API key, from memory: no KMS and no query job."""

import hmac
from collections.abc import Awaitable, Callable, Sequence

from common.api_keys.hashing import admin_principal, digest
from common.api_keys.key import is_admin_shaped, tenant_of_key
from common.api_keys.record import KeyRecord, KeySet
from common.api_keys.scopes import ADMIN_SCOPES
from common.api_keys.usage import KeyUsage
from common.clock import Clock
from common.errors import Unauthenticated
from common.lookups import Lookups
from common.refreshed import RefreshedByTenant
from common.rpc.caller import Caller
from common.secret import Secret
from common.tenants.directory import TenantDirectory


class KeyVerifier:
    """Verifies keys against each tenant's whole key set, at most `bound_seconds` old: the published bound of revocation."""

    def __init__(
        self,
        *,
        admin_digests: Sequence[str],
        directory: TenantDirectory,
        load_keys: Callable[[str], Awaitable[KeySet]],
        usage: KeyUsage,
        bound_seconds: float,
        wait_seconds: float,
        clock: Clock,
    ) -> None:
        """`admin_digests` are SHA-256 digests of admin keys, in hex; `load_keys` reads a tenant's keys without a query job."""
        self._admin_digests = tuple(admin_digests)
        self._directory = directory
        self._usage = usage
        self._clock = clock
        self._key_sets: RefreshedByTenant[KeySet] = RefreshedByTenant(
            load_keys, bound_seconds=bound_seconds, wait_seconds=wait_seconds, clock=clock
        )

    @property
    def lookups(self) -> Lookups:
        """How often the key of a tenant that there is was known."""
        return self._key_sets.lookups

    async def authenticate(self, api_key: str, scope: str | None) -> Caller:
        """The holder of `api_key`, for a call that needs `scope`.

        Raises Unauthenticated for every key that does not hold, for whatever cause, and Unavailable when that cannot be told within
        the bound. A key that is not known joins a refresh before it is refused, so that a new key works at once on every replica. One
        that is known to have an admin scope is looked up once more, so that a key which lost it has lost it at once on every replica.
        """
        key_digest = digest(api_key)
        if is_admin_shaped(api_key):
            if not any(hmac.compare_digest(key_digest, known) for known in self._admin_digests):
                raise Unauthenticated
            return Caller(admin_principal(key_digest), None, key=Secret(api_key))
        tenant_id = tenant_of_key(api_key)
        if tenant_id is None or await self._directory.find(tenant_id) is None:
            raise Unauthenticated
        keys = self._key_sets.of(tenant_id)
        as_called = keys.reads_begun
        caller = self._holder(tenant_id, await keys.find(lambda known: _matching(known, key_digest)))
        if scope in ADMIN_SCOPES and scope in caller.scopes:
            caller = self._holder(tenant_id, _matching(await keys.get_fresh(as_called), key_digest))
        self._usage.note(tenant_id, caller.principal, self._clock.now())
        return caller

    def _holder(self, tenant_id: str, record: KeyRecord | None) -> Caller:
        scopes = record.scopes_at(self._clock.now()) if record else None
        if record is None or scopes is None:
            raise Unauthenticated
        return Caller(record.key_id, tenant_id, scopes)

    def forget(self, tenant_id: str) -> None:
        """Read the tenant's keys anew before the next one is let in or refused: they have just been changed."""
        self._key_sets.forget(tenant_id)


def _matching(keys: KeySet, key_digest: str) -> KeyRecord | None:
    record = keys.get(key_digest)
    return record if record is not None and hmac.compare_digest(record.digest, key_digest) else None
