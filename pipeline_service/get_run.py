"""GetRun: a run as the engine has it, or as its record tells where the engine has it no more."""

import uuid
from dataclasses import dataclass, replace

from common.errors import RunNotFound
from common.fields import Fields
from common.rpc.caller import Caller
from pipeline_service.engine import Execution, RunEngine
from pipeline_service.records import Records
from pipeline_service.run import Run, RunStatus, cut_off
from pipeline_service.run_id import workflow_id_of


@dataclass(frozen=True, slots=True)
class Located:
    """A run, and where the engine has it; `execution` is None for a run of the records."""

    run: Run
    execution: Execution | None


class GetRun:
    """The use case, and the look-up that WatchRun shares."""

    def __init__(self, engine: RunEngine, records: Records) -> None:
        self._engine = engine
        self._records = records

    async def __call__(self, caller: Caller, *, pipeline_logging_id: str, tenant_id: str) -> Run:
        """Read a run. Raises InvalidInput, TenantMismatch, RunNotFound (also for another tenant's run), Unavailable."""
        return (await self.locate(caller, pipeline_logging_id=pipeline_logging_id, tenant_id=tenant_id)).run

    async def locate(
        self, caller: Caller, *, pipeline_logging_id: str, tenant_id: str, fields: Fields | None = None
    ) -> Located:
        """Find a run. An admin names the tenant; a tenant's key may leave it out. `fields` has the violations of the request's other
        fields."""
        fields = fields or Fields()
        fields.check("pipeline_logging_id", pipeline_logging_id, _uuid_problem)
        if tenant_id or caller.is_admin:
            fields.tenant_id(tenant_id)
        fields.require_valid()
        tenant_id = tenant_id or caller.tenant_id or ""
        caller.require_tenant(tenant_id)

        return await self.find(tenant_id, str(uuid.UUID(pipeline_logging_id)))

    async def find(self, tenant_id: str, run_id: str) -> Located:
        """Find a tenant's run. Raises RunNotFound, Unavailable, Transient."""
        workflow_id = workflow_id_of(tenant_id, run_id)
        if workflow_id is None:
            raise RunNotFound
        execution = await self._engine.find(workflow_id, run_id)
        if execution is not None:
            return Located(await self.placed(execution), execution)
        return Located(await self._recorded(tenant_id, run_id), None)

    async def as_it_stands(self, run: Run) -> Run:
        """A run that is known from before, as it stands now. Raises Unavailable, Transient."""
        return (await self.find(run.header.tenant_id, run.pipeline_logging_id)).run

    async def placed(self, execution: Execution) -> Run:
        """The execution's run with its place in the queue. Raises Unavailable."""
        run = execution.run
        if run.state.status is not RunStatus.PENDING or run.state.backfill is not None:  # which takes no slot
            return run
        queue = await self._engine.queue(run.header.tenant_id)
        return replace(run, queue_position=queue.position_of(execution.workflow_id))

    async def _recorded(self, tenant_id: str, pipeline_logging_id: str) -> Run:
        run = await self._records.run(tenant_id, pipeline_logging_id)
        if run is None:
            raise RunNotFound
        if not run.state.status.is_terminal:
            # A workflow closes only after its terminal row is written, and this one is closed: somebody ended it by hand.
            return replace(run, state=cut_off(run.state, end_time=None))
        return run


def _uuid_problem(text: str) -> str | None:
    try:
        return None if str(uuid.UUID(text)) == text.lower() else "must be a UUID"
    except ValueError:
        return "must be a UUID"
