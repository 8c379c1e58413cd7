"""The begin of a run's record: who writes it, and when. Runs inside the run's workflow."""

from collections.abc import Callable

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from pipeline_service.activities import Activities
    from pipeline_service.activity_options import ATTEMPT, HEARTBEAT_TIMEOUT, UNTIL_RECORDED
    from pipeline_service.plan import Plan
    from pipeline_service.run import Run
    from pipeline_service.run_slot import RunSlot
    from pipeline_service.temporal_fairness import record_turn_of


class RunBegin:
    """One run's. `run` gives the run as it is at that moment."""

    def __init__(self, plan: Plan, slot: RunSlot, run: Callable[[], Run]) -> None:
        self._tenant_id = plan.header.tenant_id
        self._slot = slot
        self._run = run
        self._first_step_id = _step_of_first_activity(plan)
        self._may_be_with_step = False
        self._is_recorded: bool | None = None
        self._is_over = False

    async def see_to_it(self, *, may_be_with_step: bool) -> None:
        """Have the begin recorded: by the activity of the first step where that is the first of all, else by one of its own, as soon as it
        is known whether the run waits. A run that ends before that needs none. Raises ActivityError."""
        self._may_be_with_step = may_be_with_step
        await workflow.wait_condition(lambda: self._slot.is_given_at_once is not None or self._is_over)
        if self._is_with(self._first_step_id):
            await workflow.wait_condition(lambda: self._is_recorded is not None or self._is_over)
            is_left = self._is_recorded is False
        else:
            is_left = not self._is_over
        if is_left:
            await self.record()
            self._is_recorded = True

    @property
    def is_recorded(self) -> bool:
        """Whether it is, as far as the run has heard."""
        return self._is_recorded is True

    def beside(self, step_id: str) -> Run | None:
        """The run whose begin this step's activity is to record."""
        return self._run() if self._is_with(step_id) else None

    def hear(self, *, is_recorded: bool) -> None:
        """The step that was to record it has ended."""
        self._is_recorded = is_recorded

    def end(self) -> None:
        """The run ends: what is not begun to be recorded is left to the record of the end."""
        self._is_over = True

    def record(self) -> workflow.ActivityHandle[None]:
        """By an activity of its own."""
        return workflow.start_activity_method(
            Activities.begin_run,
            self._run(),
            start_to_close_timeout=ATTEMPT,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=UNTIL_RECORDED,
            cancellation_type=workflow.ActivityCancellationType.ABANDON,
            priority=record_turn_of(self._tenant_id),
        )

    def _is_with(self, step_id: str | None) -> bool:
        is_first = step_id is not None and step_id == self._first_step_id
        return is_first and self._may_be_with_step and self._slot.is_given_at_once is True


def _step_of_first_activity(plan: Plan) -> str | None:
    """The step whose activity is the first that the run schedules, once it has a slot; None where that is another than `run_step`, or one
    of many attempts within a budget."""
    if plan.budget:
        return None
    done = {step.step_id for step in plan.done}
    first = next((step for step in plan.steps if step.step_id not in done and done.issuperset(step.depends_on)), None)
    return None if first is None or first.asks_first else first.step_id
