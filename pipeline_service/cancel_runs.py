"""CancelRuns: end every active run of a tenant that may start no new ones, and stay until no other can come."""

from common.clock import Clock
from common.fields import Fields
from common.for_each import for_each
from common.rpc.caller import Caller
from common.tenants.tenants import Tenants
from pipeline_service.engine import ActiveRun, RunEngine
from pipeline_service.request_record import Requests

_PAUSE_SECONDS = 0.5
_AT_ONCE = 16


class CancelRuns:
    """The use case."""

    def __init__(
        self, *, tenants: Tenants, engine: RunEngine, requests: Requests, clock: Clock, settle_seconds: float
    ) -> None:
        """`settle_seconds` after a tenant was stopped the last run has started, whichever replica let it in, and the engine lists it."""
        self._tenants = tenants
        self._engine = engine
        self._requests = requests
        self._clock = clock
        self._settle_seconds = settle_seconds

    async def __call__(self, caller: Caller, *, tenant_id: str) -> int:
        """Cancel the runs and wait for their ends, for `settle_seconds` at least: how many they were.

        A run whose worker is away, or that cannot be recorded yet, is waited for as long as the caller waits. Raises InvalidInput,
        TenantNotFound, TenantNotReady, TenantInUse (also where it was resumed meanwhile), Unavailable.
        """
        fields = Fields()
        fields.tenant_id(tenant_id)
        fields.require_valid()
        caller.require_tenant(tenant_id)
        tenant = await self._tenants.require_stopped(tenant_id)
        settled_at = self._clock.monotonic() + self._settle_seconds
        cancelled: set[ActiveRun] = set()
        while True:
            settled = self._clock.monotonic() >= settled_at
            active = set(await self._engine.active(tenant_id))
            if settled and not active:
                break
            await for_each(active - cancelled, self._engine.cancel, at_once=_AT_ONCE)
            cancelled |= active
            await self._clock.sleep(_PAUSE_SECONDS)
        await self._tenants.require_stopped(tenant_id)
        if tenant.state != "suspended":
            await self._requests.forget(tenant_id)
        return len(cancelled)
