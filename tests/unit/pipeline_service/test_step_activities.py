"""What a run hears of an attempt at a step; on a real engine."""

import asyncio
import uuid
from datetime import timedelta

import pytest
from temporalio import activity, workflow
from temporalio.api.enums.v1 import EventType
from temporalio.worker import Worker

from pipeline_service.gate_messages import SlotRequest
from pipeline_service.heartbeat import while_alive
from pipeline_service.patches import BEGUN_WITH_STEP, ENDED_WITH_STEP, RECORDED_WITH_NEXT
from pipeline_service.run import Run
from pipeline_service.step_activities import StepActivities, outcome_of
from pipeline_service.step_result import Closing, RunRef, StepResult, StepTask
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.plans import plan

PATIENCE_SECONDS = 60.0


@workflow.defn(sandboxed=False)
class Attempting:
    """Nothing but an attempt."""

    @workflow.run
    async def run(self) -> str:
        """What it comes to."""
        workflow.patched(BEGUN_WITH_STEP)
        attempt = workflow.start_activity(
            "attempt",
            result_type=str,
            start_to_close_timeout=timedelta(seconds=PATIENCE_SECONDS),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        return await outcome_of(attempt)


@workflow.defn(sandboxed=False)
class Ending:
    """Nothing but a step that ends its run."""

    @workflow.run
    async def run(self) -> str:
        """When it did."""
        workflow.patched(ENDED_WITH_STEP)
        info, the_plan = workflow.info(), plan("acme")
        closes = Closing(
            Run("run", info.start_time, the_plan.header, the_plan.first_state()),
            SlotRequest(info.workflow_id, info.run_id, info.start_time, "acme-gcp-cost-bill"),
        )
        activities = StepActivities(RunRef("run", "acme-gcp-cost-bill", "acme"), None)
        return (await activities.run_step(the_plan.steps[0], closes=closes)).run_end_time


@workflow.defn(sandboxed=False)
class Leaving:
    """Nothing but a step that leaves its row to the next."""

    @workflow.run
    async def run(self) -> str:
        """When it began."""
        workflow.patched(RECORDED_WITH_NEXT)
        activities = StepActivities(RunRef("run", "acme-gcp-cost-bill", "acme"), None)
        began, _ = (await activities.run_step(plan("acme").steps[0], leaves_record=True)).left_times or ("", "")
        return began


@pytest.mark.parametrize("workflow_class", [Attempting, Ending, Leaving])
@pytest.mark.parametrize("is_cancelled_first", [False, True])
async def test_an_attempt_that_ended_before_its_run_heard_of_a_cancellation_is_heard_of_with_it(
    lab: Lab, is_cancelled_first: bool, workflow_class: type[Attempting | Ending | Leaving]
) -> None:
    began, let_go = asyncio.Event(), asyncio.Event()

    async def end() -> None:
        began.set()
        async with while_alive():
            await let_go.wait()

    @activity.defn
    async def attempt() -> str:
        await end()
        return "what it came to"

    @activity.defn
    async def run_step(_task: StepTask) -> StepResult:
        await end()
        return StepResult(run_end_time="what it came to", left_times=("what it came to", ""))

    queue = str(uuid.uuid4())

    def deciding() -> Worker:
        sticky = timedelta(seconds=1)
        return Worker(
            lab.client, task_queue=queue, workflows=[workflow_class], sticky_queue_schedule_to_start_timeout=sticky
        )

    async with asyncio.timeout(PATIENCE_SECONDS), Worker(lab.client, task_queue=queue, activities=[attempt, run_step]):
        async with deciding():
            run = await lab.client.start_workflow(workflow_class.run, id=str(uuid.uuid4()), task_queue=queue)
            await began.wait()
        if is_cancelled_first:
            await run.cancel()
        let_go.set()
        async for event in run.fetch_history_events(wait_new_event=True):
            if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                break
        if not is_cancelled_first:
            await run.cancel()
        async with deciding():
            assert await run.result() == "what it came to"
