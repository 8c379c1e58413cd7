"""How a step of a run is executed: by activities that the engine tries again or, within a budget, by one for each attempt. Runs inside the
run's workflow."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from pipeline_service.activities import Activities
    from pipeline_service.activity_options import HEARTBEAT_TIMEOUT
    from pipeline_service.funded_step import AnyOutcome, FundedStep
    from pipeline_service.heed_cancellation import heed_cancellation
    from pipeline_service.patches import BEGUN_WITH_STEP, BUDGET, is_patched
    from pipeline_service.plan import PlanStep
    from pipeline_service.run import Run
    from pipeline_service.run_funds import RunFunds
    from pipeline_service.step_result import AttemptRecord, Closing, RunRef, StepResult, StepTask

AnyResult = TypeVar("AnyResult")

LOST_ATTEMPTS = 10
"""Attempts that a step may lose with their workers, beside its own. Lost ones count, so that a failure is final from `max_attempts` on."""
BACKSTOP = timedelta(minutes=10)
"""Beyond a step's own timeout, which the activity keeps by itself and publishing is exempt from: for one that hangs."""


class StepActivities:
    """The activities of a run's steps. Each raises ActivityError once its attempts are used up, StepOverBudget, CancelledError."""

    def __init__(self, run: RunRef, funds: RunFunds | None) -> None:
        """`funds` are None for a run without a budget."""
        self._run = run
        self._funds = funds

    async def condition_is_true(self, step: PlanStep) -> bool:
        """Whether the step's `when` holds."""
        if self._has_budget():
            return (await self._funded(Activities.decide_funded_step, step)).holds
        return await self._attempted(Activities.decide_step, StepTask(self._run, step))

    async def newest_row_time(self, step: PlanStep) -> datetime | None:
        """When the newest row of the step's source came; None where it has none."""
        if self._has_budget():
            return (await self._funded(Activities.find_newest_row, step)).time
        return (await self._attempted(Activities.find_newest_row, StepTask(self._run, step))).time

    async def run_step(
        self,
        step: PlanStep,
        *,
        begins: Run | None = None,
        closes: Closing | None = None,
        left_records: tuple[AttemptRecord, ...] = (),
        leaves_record: bool = False,
    ) -> StepResult:
        """Execute the step. See StepTask for what its activity is to record beside, after, and not at all; none of it within a budget."""
        if self._has_budget():
            return await self._funded(Activities.run_step, step)
        task = StepTask(
            self._run, step, begins=begins, closes=closes, left_records=left_records, leaves_record=leaves_record
        )
        return await self._attempted(Activities.run_step, task)

    def _has_budget(self) -> bool:
        return self._funds is not None and is_patched(BUDGET)

    async def _funded(
        self, activity: Callable[[Activities, StepTask], Awaitable[AnyOutcome]], step: PlanStep
    ) -> AnyOutcome:
        """What an activity makes of a step within the run's budgets."""
        assert self._funds is not None  # noqa: S101 - see _has_budget

        async def attempt(number: int, funds: Mapping[str, int], billed_before: int) -> AnyOutcome:
            return await self._attempted(
                activity,
                StepTask(self._run, step, attempt=number, funds=funds, billed_before=billed_before),
                attempts=1,
            )

        most_attempts = step.max_attempts + LOST_ATTEMPTS
        return await FundedStep(self._funds, step.step_id, most_attempts=most_attempts).execute(attempt)

    async def _attempted(
        self,
        activity: Callable[[Activities, StepTask], Awaitable[AnyResult]],
        task: StepTask,
        *,
        attempts: int | None = None,
    ) -> AnyResult:
        """What an activity makes of a step. Raises ActivityError once its attempts are used up: the step's own, unless `attempts` are
        given; CancelledError."""
        heed_cancellation()
        step = task.step
        attempt = workflow.start_activity_method(
            activity,
            task,
            start_to_close_timeout=timedelta(seconds=step.timeout_seconds) + BACKSTOP,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=RetryPolicy(maximum_attempts=attempts or step.max_attempts + LOST_ATTEMPTS),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=step.step_id,
        )
        must_be_heard = task.funds is not None or task.closes is not None or task.leaves_record
        return await (outcome_of(attempt) if must_be_heard else attempt)


async def outcome_of(attempt: workflow.ActivityHandle[AnyResult]) -> AnyResult:
    """What an attempt comes to, also where its run is cancelled in the same task of the workflow: of both the SDK tells the cancellation
    alone, and what was billed, that the run has ended, or the row that the step leaves to the next, would be lost."""
    if not is_patched(BEGUN_WITH_STEP):
        return await attempt
    try:
        return await asyncio.shield(attempt)
    except asyncio.CancelledError:
        await asyncio.sleep(0)  # an end that is known is told first
        attempt.cancel()
        return await attempt
