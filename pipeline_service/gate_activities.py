"""What gates, and runs that find none, ask of the world. Each is repeated until it succeeds."""

from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, time

from temporalio import activity

from common.clock import Clock
from common.errors import (
    DependencyRefused,
    TenantNotFound,
    TenantNotReady,
    TenantSuspended,
    Terminal,
    Transient,
    Unavailable,
)
from common.tenants.tenants import Tenants
from pipeline_service.gate_door import GateDoor
from pipeline_service.gate_messages import GateSignal, Limits, SlotRequest, Standing, StandingQuery
from pipeline_service.gates import Gates
from pipeline_service.heartbeat import LONGEST_PAUSE_ATTEMPT, retried
from pipeline_service.records import Records


class GateActivities:
    """The activities of one worker."""

    def __init__(self, *, gates: Gates, tenants: Tenants, records: Records, limits: Limits, clock: Clock) -> None:
        self._gates = gates
        self._door = GateDoor(gates, limits)
        self._tenants = tenants
        self._records = records
        self._limits = limits
        self._clock = clock

    @activity.defn
    async def open_gate(self, knock: GateSignal) -> None:
        """Tell a gate what it was not there to hear, and open it where there is still none."""
        async with _repeated():
            await self._door.open(knock)

    @activity.defn
    async def look(self, watch: StandingQuery) -> Standing:
        """How the tenant stands now. A holder is gone only where the engine says so."""
        async with _repeated():
            gone = await self._gates.gone(watch.holders)
            return Standing(await self._may_start(watch.tenant_id), gone, self._limits)

    @activity.defn
    async def survey_runs(self, tenant_id: str) -> tuple[SlotRequest, ...]:
        """Every run of the tenant, each of which is asked to say what it holds."""
        async with _repeated():
            return await self._gates.survey(tenant_id)

    @activity.defn
    async def recall_day(self, tenant_id: str) -> int:
        """Bytes that the tenant's records say were billed today (UTC), for a gate that no other has left anything; 0 where the warehouse
        refuses to say."""
        async with _repeated():
            midnight = datetime.combine(self._clock.now().date(), time(), UTC)
            try:
                return await self._records.billed_since(tenant_id, midnight)
            except Terminal:
                return 0

    async def _may_start(self, tenant_id: str) -> bool:
        """Whether runs that have waited may start. Those of a tenant that is deleted may: their first step then says why they end."""
        try:
            await self._tenants.require_ready(tenant_id)
        except TenantNotFound:
            return True
        except (TenantSuspended, TenantNotReady, Transient, Unavailable, DependencyRefused):
            return False
        return True


def _repeated() -> AbstractAsyncContextManager[None]:
    """For ever, whatever it was: a gate that gave up would hold all runs of its tenant."""
    return retried(lambda _: True, longest_pause_attempt=LONGEST_PAUSE_ATTEMPT)
