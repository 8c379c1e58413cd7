"""The rows of a run's steps that are left to the step that follows, which adds them beside its work. Runs inside the run's workflow."""

from collections.abc import Callable

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from pipeline_service.activities import Activities
    from pipeline_service.activity_options import ATTEMPT, HEARTBEAT_TIMEOUT, UNTIL_RECORDED
    from pipeline_service.plan import Plan, PlanStep
    from pipeline_service.step_result import AttemptRecord, RunRef, StepResult


class LeftRecords:
    """One run's. All of them are added before the run's end is recorded."""

    def __init__(self, run: RunRef, plan: Plan) -> None:
        self._run = run
        done = {step.step_id for step in plan.done}
        self._to_do = tuple(step for step in plan.steps if step.step_id not in done)
        self._left: tuple[AttemptRecord, ...] = ()
        self._may_be_left = False

    def prepare(self, *, may_be_left: bool) -> None:
        """The run begins."""
        self._may_be_left = may_be_left

    def is_to_leave(self, step: PlanStep, blocks: Callable[[str], bool]) -> bool:
        """Whether the step is to leave its row: another begins its work as soon as this one succeeds, since none else that it depends on
        blocks it."""
        return self._may_be_left and any(
            step.step_id in following.depends_on
            and not following.asks_first
            and not any(blocks(name) for name in following.depends_on if name != step.step_id)
            for following in self._to_do
        )

    def take(self) -> tuple[AttemptRecord, ...]:
        """What the activity that is about to be scheduled is to add."""
        taken, self._left = self._left, ()
        return taken

    def hear(self, step: PlanStep, taken: tuple[AttemptRecord, ...], result: StepResult) -> None:
        """The step's activity has ended: keep what it was to add and is not known to have added, and the row that it leaves itself."""
        own = AttemptRecord.left_by(step, result)
        self._left = (() if result.has_recorded_left else taken) + self._left + ((own,) if own else ())

    async def add(self) -> None:
        """Add what is still left. A warehouse that is away is waited for; one that refuses leaves it to the engine's memory."""
        if not self._left:
            return
        try:
            await workflow.execute_activity_method(
                Activities.record_attempts,
                args=[self._run, self._left],
                start_to_close_timeout=ATTEMPT,
                heartbeat_timeout=HEARTBEAT_TIMEOUT,
                retry_policy=UNTIL_RECORDED,
            )
        except ActivityError:
            workflow.logger.exception(
                "rows of the steps of run %s could not be recorded", self._run.pipeline_logging_id
            )
