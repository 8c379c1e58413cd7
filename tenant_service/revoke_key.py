"""Revokes one key of a tenant, or all."""

from collections.abc import Sequence

from common.api_keys.changes import KeyChanges
from common.api_keys.store import KeyStore
from common.errors import KeyNotFound
from common.fields import Fields
from common.rpc.caller import Caller
from tenant_service.acts import Act, Acts, Turn
from tenant_service.key_id import recordable
from tenant_service.key_view import KeyView, RotationPolicy


class RevokeKey:
    """The use case; one for the process."""

    def __init__(self, *, acts: Acts, keys: KeyStore, changes: KeyChanges, policy: RotationPolicy) -> None:
        self._acts = acts
        self._keys = keys
        self._changes = changes
        self._policy = policy

    async def __call__(
        self, caller: Caller, *, tenant_id: str, key_id: str, every_key: bool, request_id: str
    ) -> Sequence[KeyView]:
        """Revoke one key, or every key; the keys named, as they are then. Revoking what is revoked changes nothing.

        Raises InvalidInput, TenantMismatch, TenantNotFound, TenantNotReady, RequestIdReused, KeyNotFound, Transient, Unavailable.
        """
        fields = Fields()
        fields.tenant_id(tenant_id)
        if every_key and key_id:
            fields.violation("all", "must not be set beside key_id")
        elif not every_key and not key_id:
            fields.violation("key_id", "is required unless all is set")
        fields.request_id(request_id)
        fields.require_valid()
        caller.require_tenant(tenant_id)

        async def revoke(turn: Turn) -> Sequence[KeyView]:
            if key_id and await self._keys.find(tenant_id, key_id) is None:
                raise KeyNotFound
            effect_id = f"revoke_key_{tenant_id}_{turn.act_id}"
            await self._changes.revoke(effect_id, tenant_id, key_id or None)
            if every_key and not turn.repeated:
                # An INSERT conflicts with nothing: a key that was made while the first statement ran is not among those that it revoked.
                # Whoever makes one later finds the own key revoked, and is not told it.
                await self._changes.revoke(f"{effect_id}_again", tenant_id, None)
            keys = await self._keys.details(tenant_id)
            return [self._policy.view(key) for key in keys if every_key or key.key_id == key_id]

        act = Act(
            "RevokeKey",
            tenant_id,
            resource=recordable(key_id),
            request_id=request_id,
            fields={"key_id": key_id, "all": every_key},
        )
        return await self._acts.do(caller, act, revoke)
