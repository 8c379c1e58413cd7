"""CancelRun: have a run stop, and its warehouse jobs at once."""

import asyncio
from contextlib import suppress

from common.errors import WarehouseError
from common.fields import Fields
from common.rpc.caller import Caller
from common.warehouse.warehouse import Warehouse
from pipeline_service.engine import ActiveRun, RunEngine
from pipeline_service.get_run import GetRun
from pipeline_service.run import Run, StepStatus
from pipeline_service.steps.attempt import STAGE, job_id

_FIRST_TRIES = 3
"""Jobs of a step that are cancelled from here; the step itself, told by the engine a moment later, cancels whichever runs."""


class CancelRun:
    """The use case."""

    def __init__(self, *, get_run: GetRun, engine: RunEngine, warehouse: Warehouse) -> None:
        self._get_run = get_run
        self._engine = engine
        self._warehouse = warehouse

    async def __call__(self, caller: Caller, *, pipeline_logging_id: str, tenant_id: str, request_id: str) -> Run:
        """Ask the run to end as CANCELLED: the run as it stands then. One that has ended stays as it is.

        Raises InvalidInput, TenantMismatch, RunNotFound (also for another tenant's run), Unavailable.
        """
        fields = Fields()
        fields.request_id(request_id)
        located = await self._get_run.locate(
            caller, pipeline_logging_id=pipeline_logging_id, tenant_id=tenant_id, fields=fields
        )
        execution = located.execution
        if execution is None or located.run.state.status.is_terminal:
            return located.run
        await self._engine.cancel(ActiveRun(execution.workflow_id, execution.engine_run_id))
        await self._cancel_jobs(located.run)
        latest = await self._engine.describe(execution.workflow_id)
        return latest.run if latest and latest.engine_run_id == execution.engine_run_id else located.run

    async def _cancel_jobs(self, run: Run) -> None:
        """Cancel what runs in the warehouse now: the engine tells the steps only with their next heartbeat. What is being published is
        left to the step."""
        jobs = [
            job_id(run.pipeline_logging_id, step.step_id, STAGE, number)
            for step in run.state.steps
            if step.status is StepStatus.RUNNING
            for number in range(1, _FIRST_TRIES + 1)
        ]
        with suppress(WarehouseError):  # while it is away: the steps go on trying
            await asyncio.gather(*map(self._warehouse.cancel, jobs))
