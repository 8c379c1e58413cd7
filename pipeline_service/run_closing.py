"""The end of a run's record: who writes it. Runs inside the run's workflow."""

from collections.abc import Awaitable, Callable

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from pipeline_service.activities import Activities
    from pipeline_service.activity_options import ATTEMPT, HEARTBEAT_TIMEOUT, UNTIL_RECORDED
    from pipeline_service.run import Run, RunState
    from pipeline_service.run_slot import RunSlot
    from pipeline_service.step_result import Closing, StepResult


class RunClosing:
    """One run's."""

    def __init__(self, slot: RunSlot) -> None:
        self._slot = slot
        self._state: RunState | None = None
        self._has_left = False
        self._may_be_with_step = False
        self._gives_slot_back = False

    def prepare(self, *, may_be_with_step: bool, gives_slot_back: bool) -> None:
        """The run begins. One that has bytes to settle gives its slot back by itself, afterwards, and is not ended with a step."""
        self._may_be_with_step = may_be_with_step
        self._gives_slot_back = gives_slot_back

    @property
    def state(self) -> RunState | None:
        """How the run ended, where its last step has recorded that; from then on nothing changes it."""
        return self._state

    def with_step(self, run: Run) -> Closing | None:
        """What the activity of the run's last step is to end with it."""
        return Closing(run, self._slot.asking) if self._may_be_with_step and self._gives_slot_back else None

    def hear(self, closing: Closing, step_id: str, result: StepResult) -> bool:
        """The step that was to end the run has succeeded. False where the end is still to be recorded."""
        if result.run_end_time:
            self._state = closing.ended(step_id, result).state
            self._has_left = result.has_left
        return self._state is not None

    async def record(self, run: Run) -> bool:
        """Write the terminal row, unless that is done. A warehouse that is away is waited for; one that refuses leaves the run to the
        engine's memory. True where the slot is given back with it.

        No local activity: until it ended, it would hold back the memo and keep a worker from shutting down.
        """
        if self._state is not None:
            return self._has_left
        # Another activity, not one more argument: called with fewer than it has, an activity is given none of them in its type.
        end: Callable[..., Awaitable[None]] = Activities.close_run if self._gives_slot_back else Activities.end_run
        try:
            await workflow.execute_activity_method(
                end,
                args=[run, self._slot.asking] if self._gives_slot_back else [run],
                start_to_close_timeout=ATTEMPT,
                heartbeat_timeout=HEARTBEAT_TIMEOUT,
                retry_policy=UNTIL_RECORDED,
            )
        except ActivityError:
            workflow.logger.exception(
                "the end of run %s could not be recorded, or its slot not be given back with it",
                run.pipeline_logging_id,
            )
            return False
        return self._gives_slot_back
