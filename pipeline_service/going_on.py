"""Plans of runs that go on from another: with what that was accepted with, without what it has done."""

from dataclasses import replace

from pipeline_service.backfill_messages import BackfillRef
from pipeline_service.backfill_plan import BackfillPlan
from pipeline_service.engine import Execution, RunEngine
from pipeline_service.plan import Plan
from pipeline_service.run import StepStatus


async def plan_going_on(engine: RunEngine, execution: Execution) -> Plan | None:
    """The plan of a run that goes on from this one: without the steps that it has completed. None where the engine has it no more."""
    plan = await engine.plan_of(execution)
    if plan is None:
        return None
    run = execution.run
    done = tuple(step for step in run.state.steps if step.status is StepStatus.COMPLETE)
    return replace(plan, header=replace(plan.header, retry_of=run.pipeline_logging_id, backfill_of=""), done=done)


async def backfill_going_on(engine: RunEngine, execution: Execution) -> BackfillPlan | None:
    """The plan of a backfill that goes on from this one: of the days that it has not completed. None where the engine has it no more."""
    run = execution.run
    ref = BackfillRef(run.header.tenant_id, run.pipeline_logging_id, execution.workflow_id, execution.engine_run_id)
    plan = await engine.backfill_plan_of(ref)
    if plan is None or run.state.backfill is None:
        return None
    header = replace(plan.header, retry_of=run.pipeline_logging_id)
    return replace(plan, header=header, backfill=run.state.backfill.to_go_on())
