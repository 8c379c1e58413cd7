"""What a run hears of an attempt at a step; on a real engine."""

import asyncio
import uuid
from datetime import timedelta

import pytest
from temporalio import activity, workflow
from temporalio.api.enums.v1 import EventType
from temporalio.worker import Worker

from pipeline_service.patches import BEGUN_WITH_STEP
from pipeline_service.step_activities import outcome_of
from tests.unit.pipeline_service.conftest import Lab

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


@pytest.mark.parametrize("is_cancelled_first", [False, True])
async def test_an_attempt_that_ended_before_its_run_heard_of_a_cancellation_is_heard_of_with_it(
    lab: Lab, is_cancelled_first: bool
) -> None:
    began, let_go = asyncio.Event(), asyncio.Event()

    @activity.defn
    async def attempt() -> str:
        began.set()
        await let_go.wait()
        return "what was billed"

    queue = str(uuid.uuid4())

    def deciding() -> Worker:
        sticky = timedelta(seconds=1)
        return Worker(
            lab.client, task_queue=queue, workflows=[Attempting], sticky_queue_schedule_to_start_timeout=sticky
        )

    async with asyncio.timeout(PATIENCE_SECONDS), Worker(lab.client, task_queue=queue, activities=[attempt]):
        async with deciding():
            run = await lab.client.start_workflow(Attempting.run, id=str(uuid.uuid4()), task_queue=queue)
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
            assert await run.result() == "what was billed"
