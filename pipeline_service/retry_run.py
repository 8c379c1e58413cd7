"""RetryRun: go on from a run that did not come to its good end, with the plan that it had."""

from dataclasses import replace

from common.errors import RunNotRetryable
from common.fields import Fields
from common.rpc.caller import Caller
from common.tenants.tenants import Tenants
from pipeline_service.backfill_plan import BackfillPlan
from pipeline_service.budgets import Budgets
from pipeline_service.engine import Execution, RunEngine, Started
from pipeline_service.get_run import GetRun
from pipeline_service.going_on import backfill_going_on, plan_going_on
from pipeline_service.plan import Plan
from pipeline_service.request_record import Requests, digest_of, request_key
from pipeline_service.run import Run, RunStatus
from pipeline_service.run_id import workflow_id_of
from pipeline_service.run_template import MAX_TRIGGER_CHARACTERS

DEFAULT_TRIGGER = "retry"


class RetryRun:
    """The use case."""

    def __init__(
        self, *, get_run: GetRun, tenants: Tenants, engine: RunEngine, budgets: Budgets, requests: Requests
    ) -> None:
        self._get_run = get_run
        self._tenants = tenants
        self._engine = engine
        self._budgets = budgets
        self._requests = requests

    async def __call__(
        self, caller: Caller, *, pipeline_logging_id: str, tenant_id: str, trigger_by: str, request_id: str
    ) -> Started:
        """Start the new run, or join the one that another call started.

        Raises InvalidInput, TenantMismatch, RunNotFound (also for another tenant's run), RunNotRetryable, RequestIdReused,
        PipelineBusy, TenantNotFound, TenantNotReady, TenantSuspended, BudgetExceeded, Unavailable.
        """
        fields = Fields()
        fields.text("trigger_by", trigger_by, max_characters=MAX_TRIGGER_CHARACTERS)
        fields.request_id(request_id)
        located = await self._get_run.locate(
            caller, pipeline_logging_id=pipeline_logging_id, tenant_id=tenant_id, fields=fields
        )
        run = located.run
        tenant_id = run.header.tenant_id
        trigger_by = trigger_by or DEFAULT_TRIGGER
        digest = digest_of("RetryRun", run.pipeline_logging_id, trigger_by)
        key = request_key(tenant_id, request_id) if request_id else None
        # A repeat is answered whatever has become of run and tenant since.
        if (answer := await self._requests.answered(key, digest)) is not None:
            return answer
        await self._tenants.require_ready(tenant_id)
        latest = await self._latest(run)
        if latest is not None and _goes_on_from(run, latest):
            return await self._requests.join(key, digest, latest)
        execution = _retryable(run, latest)
        plan = await self._plan(execution)
        await self._budgets.require_left(plan)
        header = replace(plan.header, trigger_by=trigger_by, principal=caller.principal)
        return await self._requests.start(key, digest, execution.workflow_id, replace(plan, header=header))

    async def _latest(self, run: Run) -> Execution | None:
        """The latest run of the same work, as far as the engine has one."""
        workflow_id = workflow_id_of(run.header.tenant_id, run.pipeline_logging_id)
        return None if workflow_id is None else await self._engine.latest_of(workflow_id, run.header.work_id)

    async def _plan(self, execution: Execution) -> Plan | BackfillPlan:
        """The plan of the run, without what it has done. Raises RunNotRetryable."""
        plan: Plan | BackfillPlan | None
        if execution.run.state.backfill is None:
            plan = await plan_going_on(self._engine, execution)
        else:
            plan = await backfill_going_on(self._engine, execution)
        if plan is None:
            raise RunNotRetryable("The engine has the run no more: run its template again", execution.run.state.status)
        return self._budgets.limits.bounded(plan) if isinstance(plan, Plan) else plan


def _goes_on_from(run: Run, latest: Execution) -> bool:
    """Whether somebody has retried the run already, and that is under way."""
    return latest.run.header.retry_of == run.pipeline_logging_id and not latest.run.state.status.is_terminal


def _retryable(run: Run, latest: Execution | None) -> Execution:
    """Where the engine has the run, `latest` being the last one of its work. Raises RunNotRetryable."""
    status = run.state.status
    if status not in (RunStatus.FAILED, RunStatus.CANCELLED):
        raise RunNotRetryable("Only a run that failed or was cancelled can be retried", status)
    if latest is None or latest.run.pipeline_logging_id != run.pipeline_logging_id:
        raise RunNotRetryable("The engine has the run no more, or a later one of its parameters: retry that", status)
    return latest
