"""Makes another key of a tenant."""

from collections.abc import Sequence
from dataclasses import dataclass

from common.api_keys.changes import KeySpec
from common.api_keys.scopes import SCOPES
from common.audit import REQUEST_ID_LIFETIME
from common.clock import Clock
from common.errors import InvalidInput, Violation
from common.fields import Fields, WireTime
from common.rpc.caller import Caller
from common.secret import Secret
from tenant_service.acts import Act, Acts, Turn
from tenant_service.key_id import key_id_of
from tenant_service.key_view import KeyView, RotationPolicy
from tenant_service.minting import Minting

MAX_DISPLAY_NAME_CHARACTERS = 100
_PAST = "must lie in the future"


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """A key in clear, and what is kept of it."""

    api_key: Secret
    key: KeyView


class CreateKey:
    """The use case; one for the process."""

    def __init__(self, *, acts: Acts, minting: Minting, policy: RotationPolicy, clock: Clock) -> None:
        self._acts = acts
        self._minting = minting
        self._policy = policy
        self._clock = clock

    async def __call__(
        self,
        caller: Caller,
        *,
        tenant_id: str,
        scopes: Sequence[str],
        expire_time: WireTime | None,
        display_name: str,
        request_id: str,
    ) -> CreatedKey:
        """Make a key. Raises InvalidInput, TenantMismatch, ScopeMissing (for a scope that the caller lacks), RequestIdReused,
        TenantNotFound, TenantNotReady, Transient, Unavailable, DependencyRefused."""
        fields = Fields()
        fields.tenant_id(tenant_id)
        if not scopes or len(set(scopes)) < len(scopes) or not SCOPES.issuperset(scopes):
            fields.violation("scopes", f"must be at least one of {', '.join(sorted(SCOPES))}, none of them twice")
        # A repeat of a request is answered for as long as its id is remembered, even after the time that it names.
        refused_until = self._clock.now() - REQUEST_ID_LIFETIME if request_id else self._clock.now()
        expires = fields.optional_time("expire_time", expire_time)
        if expires is not None and expires <= refused_until:
            fields.violation("expire_time", _PAST)
        fields.text("display_name", display_name, max_characters=MAX_DISPLAY_NAME_CHARACTERS)
        fields.request_id(request_id)
        fields.require_valid()
        caller.require_tenant(tenant_id)
        caller.require_scopes(scopes)

        spec = KeySpec(display_name, scopes, expires)
        act = Act(
            "CreateKey",
            tenant_id,
            request_id=request_id,
            fields={"scopes": sorted(scopes), "expire_time": expire_time, "display_name": display_name},
        )
        return await self._acts.do(caller, act, lambda turn: self._create(caller, turn, spec))

    async def _create(self, caller: Caller, turn: Turn, spec: KeySpec) -> CreatedKey:
        if not turn.repeated and spec.expire_time is not None and spec.expire_time <= self._clock.now():
            raise InvalidInput([Violation("expire_time", _PAST)])
        tenant_id, key_id = turn.tenant.tenant_id, key_id_of(turn.act_id)
        turn.about(key_id)
        effect_id = f"create_key_{tenant_id}_{turn.act_id}"
        details = await self._minting.obtain(effect_id, tenant_id, key_id, spec, principal=caller.principal)
        return CreatedKey(await self._minting.in_clear(caller, details), self._policy.view(details))
