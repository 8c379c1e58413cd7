"""Puts a new key in the place of another, which goes on working without its admin scopes until the end of a grace period."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from common.api_keys.changes import KeyChanges
from common.api_keys.details import KeyDetails
from common.api_keys.store import KeyStore
from common.clock import Clock
from common.errors import KeyAmbiguous, KeyNotActive, KeyNotFound, RotationInProgress, Terminal
from common.fields import Fields, WireDuration
from common.rpc.caller import Caller
from common.secret import Secret
from common.warehouse.warehouse import Warehouse
from tenant_service.acts import Act, Acts, Turn
from tenant_service.get_tenant import require_tenant
from tenant_service.key_id import key_id_of, recordable
from tenant_service.key_view import KeyView, RotationPolicy
from tenant_service.minting import Minting

DEFAULT_GRACE_PERIOD = timedelta(hours=24)
MAX_GRACE_PERIOD = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class RotatedKey:
    """The new key in clear, what is kept of it, and what of the old one."""

    api_key: Secret
    key: KeyView
    superseded: KeyView


class RotateKey:
    """The use case; one for the process."""

    def __init__(
        self,
        *,
        warehouse: Warehouse,
        acts: Acts,
        keys: KeyStore,
        changes: KeyChanges,
        minting: Minting,
        policy: RotationPolicy,
        clock: Clock,
    ) -> None:
        self._warehouse = warehouse
        self._acts = acts
        self._keys = keys
        self._changes = changes
        self._minting = minting
        self._policy = policy
        self._clock = clock

    async def __call__(
        self, caller: Caller, *, tenant_id: str, key_id: str, grace_period: WireDuration | None, request_id: str
    ) -> RotatedKey:
        """Rotate a key; without `key_id` the caller's own, or for an admin the only active one. `grace_period` is None for the default.

        Raises InvalidInput, TenantMismatch, TenantNotFound, TenantNotReady, RequestIdReused, KeyNotFound, KeyAmbiguous, ScopeMissing
        (the key has a scope that the caller lacks), KeyNotActive, RotationInProgress, Transient, Unavailable, DependencyRefused.
        """
        fields = Fields()
        fields.tenant_id(tenant_id)
        grace = fields.optional_duration("grace_period", grace_period, longest=MAX_GRACE_PERIOD)
        if grace is None:
            grace = DEFAULT_GRACE_PERIOD
        fields.request_id(request_id)
        fields.require_valid()
        caller.require_tenant(tenant_id)

        await require_tenant(self._warehouse, tenant_id)
        as_called = await self._by_id(tenant_id)

        async def rotate(turn: Turn) -> RotatedKey:
            new_key_id = key_id_of(turn.act_id)
            keys = await self._by_id(tenant_id)
            # One reading tells this and where the old key stands, so that another call of this request is not taken for another rotation.
            if new_key_id not in keys:
                old = self._chosen(as_called, caller, key_id)
                turn.about(old.key_id)
                caller.require_scopes(old.record.scopes)
                self._require_active(old, keys)
                await self._supersede(caller, turn, old, grace)
                keys = await self._by_id(tenant_id)
            return await self._answer(caller, keys, new_key_id)

        act = Act(
            "RotateKey",
            tenant_id,
            resource=recordable(key_id),
            request_id=request_id,
            fields={"key_id": key_id, "grace_period": grace_period},
        )
        return await self._acts.do(caller, act, rotate)

    async def _supersede(self, caller: Caller, turn: Turn, old: KeyDetails, grace: timedelta) -> None:
        """Put a new key in the place of `old`. Raises RotationInProgress or KeyNotActive where somebody was first: also of a repeat of a
        call that lost, whatever has become of the keys since."""
        new = await self._minting.encrypted(old.tenant_id, key_id_of(turn.act_id))
        effect_id = f"rotate_key_{old.tenant_id}_{turn.act_id}"
        if not await self._changes.rotate(
            effect_id, old.tenant_id, old.key_id, new, grace=grace, principal=caller.principal
        ):
            self._require_active(old, await self._by_id(old.tenant_id))
            raise RotationInProgress

    def _chosen(self, keys: "_KeysById", caller: Caller, key_id: str) -> KeyDetails:
        """The key to rotate."""
        if key_id or not caller.is_admin:
            key = keys.get(key_id or caller.principal)
            if key is None:
                raise KeyNotFound
            return key
        now = self._clock.now()
        active = [key for key in keys.values() if key.record.state_at(now) == "ACTIVE"]
        if len(active) != 1:
            raise KeyAmbiguous
        return active[0]

    def _require_active(self, as_called: KeyDetails, keys: "_KeysById") -> None:
        """Raise KeyNotActive unless the key is; RotationInProgress where it was when the call began, and another key took its place."""
        key = keys[as_called.key_id].record
        state = key.state_at(self._clock.now())
        if state == "ACTIVE":
            return
        if key.supersede_time is not None and as_called.record.supersede_time is None:
            raise RotationInProgress
        raise KeyNotActive(state)

    async def _answer(self, caller: Caller, keys: "_KeysById", new_key_id: str) -> RotatedKey:
        new = keys.get(new_key_id)
        old = next((key for key in keys.values() if key.superseded_by == new_key_id), None)
        if new is None or old is None:
            raise Terminal("A key is missing although its rotation is done")
        return RotatedKey(await self._minting.in_clear(caller, new), self._policy.view(new), self._policy.view(old))

    async def _by_id(self, tenant_id: str) -> "_KeysById":
        return {key.key_id: key for key in await self._keys.details(tenant_id)}


_KeysById = Mapping[str, KeyDetails]
