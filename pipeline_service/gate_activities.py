"""What gates, and runs that find none, ask of the world. Each is repeated until it succeeds."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from temporalio import activity
from temporalio.common import RetryPolicy

from common.errors import DependencyRefused, TenantNotFound, TenantNotReady, TenantSuspended, Transient, Unavailable
from common.tenants.tenants import Tenants
from pipeline_service.activities import while_alive
from pipeline_service.failures import as_application_error
from pipeline_service.gate_door import GateDoor
from pipeline_service.gate_messages import Asking, Knock, Limits, Seen, Watch
from pipeline_service.gates import Gates
from pipeline_service.step_errors import as_run_error
from pipeline_service.step_result import StepResult

ATTEMPT = timedelta(minutes=1)
HEARTBEAT_TIMEOUT = timedelta(seconds=5)
UNTIL_DONE = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=10))
LONGEST_PAUSE_ATTEMPT = 4
"""The pause between two attempts grows up to here: 8 s."""


class GateActivities:
    """The activities of one worker."""

    def __init__(self, *, gates: Gates, tenants: Tenants, limits: Limits) -> None:
        self._gates = gates
        self._door = GateDoor(gates, limits)
        self._tenants = tenants
        self._limits = limits

    @activity.defn
    async def open_gate(self, knock: Knock) -> None:
        """Tell a gate what it was not there to hear, and open it where there is still none."""
        async with _repeated():
            await self._door.open(knock)

    @activity.defn
    async def look(self, watch: Watch) -> Seen:
        """How the tenant stands now. A holder is gone only where the engine says so."""
        async with _repeated():
            gone = await self._gates.gone(watch.holders)
            return Seen(await self._may_start(watch.tenant_id), gone, self._limits)

    @activity.defn
    async def survey_runs(self, tenant_id: str) -> tuple[Asking, ...]:
        """Every run of the tenant, each of which is asked to say what it holds."""
        async with _repeated():
            return await self._gates.survey(tenant_id)

    async def _may_start(self, tenant_id: str) -> bool:
        """Whether runs that have waited may start. Those of a tenant that is deleted may: their first step then says why they end."""
        try:
            await self._tenants.require_ready(tenant_id)
        except TenantNotFound:
            return True
        except (TenantSuspended, TenantNotReady, Transient, Unavailable, DependencyRefused):
            return False
        return True


@asynccontextmanager
async def _repeated() -> AsyncIterator[None]:
    """Fail so that the engine tries again, and keeps no cause's text."""
    try:
        async with while_alive():
            yield
    except Exception as error:  # noqa: BLE001 - whatever it was: a gate that gave up would hold all runs of its tenant
        attempt = min(activity.info().attempt, LONGEST_PAUSE_ATTEMPT)
        raise as_application_error(as_run_error(error), StepResult(), repeat=True, attempt=attempt) from None
