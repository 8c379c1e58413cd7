"""CancelRun: have a run stop, and its warehouse jobs at once."""

import asyncio
from contextlib import suppress

from common.errors import WarehouseError
from common.fields import Fields
from common.rpc.caller import Caller
from common.warehouse.warehouse import Warehouse
from pipeline_service.engine import Execution, RunEngine
from pipeline_service.get_run import GetRun
from pipeline_service.run import Run, StepStatus
from pipeline_service.steps.attempt import STAGE, job_id


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
        await self._engine.cancel(execution.active_run)
        told = await self._engine.describe(execution.workflow_id)
        if told is not None and told.engine_run_id == execution.engine_run_id:
            await self._cancel_jobs(told)
        return await self._get_run.as_it_stands(located.run)

    async def _cancel_jobs(self, execution: Execution) -> None:
        """Cancel what runs in the warehouse now: the engine tells the steps only with their next heartbeat. What is being published is
        left to the step.

        The nth attempt at a step is at its nth try at most; one more may have begun since the engine was asked, and none after it, since
        the run was told to stop before.
        """
        jobs = [
            job_id(execution.run.pipeline_logging_id, step.step_id, STAGE, number)
            for step in execution.run.state.steps
            if step.status is StepStatus.RUNNING
            for number in range(1, execution.latest_attempt + 2)
        ]
        with suppress(WarehouseError):  # while it is away: the steps go on trying
            await asyncio.gather(*map(self._warehouse.cancel, jobs))
