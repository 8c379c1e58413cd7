"""The workflow of a run: executes a plan's steps as a DAG and keeps the run's state in the memo.

Deterministic, and changed only so that histories of the last release still replay. Whatever touches the world is an activity.
"""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from pipeline_service.backfill_messages import Listener, RunEnd
    from pipeline_service.budget_messages import Funding
    from pipeline_service.failures import failure_of
    from pipeline_service.heed_cancellation import is_being_cancelled
    from pipeline_service.left_records import LeftRecords
    from pipeline_service.listeners import Listeners
    from pipeline_service.patches import (
        BEGUN_WITH_STEP,
        ENDED_WITH_STEP,
        GATE,
        RECORDED_WITH_NEXT,
        SPOKEN_FOR,
        is_patched,
    )
    from pipeline_service.plan import Plan, PlanStep
    from pipeline_service.run import Run, RunError, RunState, RunStatus, Step, StepStatus, cancelled
    from pipeline_service.run_begin import RunBegin
    from pipeline_service.run_closing import RunClosing
    from pipeline_service.run_funds import RunFunds, StepOverBudget
    from pipeline_service.run_id import pipeline_logging_id_for
    from pipeline_service.run_slot import RunSlot
    from pipeline_service.step_activities import StepActivities
    from pipeline_service.step_result import AttemptRecord, Closing, RunRef, StepResult
    from pipeline_service.temporal_names import (
        ASKED_SIGNAL,
        FUNDING_SIGNAL,
        GRANT_SIGNAL,
        LISTEN_SIGNAL,
        REPORT_SIGNAL,
        RUN_WORKFLOW,
        STATE_MEMO,
    )

MAX_PARALLEL_STEPS = 4


@workflow.defn(name=RUN_WORKFLOW)
class RunWorkflow:
    """One run. Closes only after its terminal row is written, and shows its terminal state only as it closes: who sees that may start
    the same run anew at once."""

    @workflow.init
    def __init__(self, plan: Plan) -> None:
        info = workflow.info()
        self._state = plan.first_state()
        self._header = plan.header
        self._pipeline_logging_id = pipeline_logging_id_for(info.workflow_id, info.run_id)
        self._slots = asyncio.Semaphore(MAX_PARALLEL_STEPS)
        self._passed_over = frozenset(step.step_id for step in plan.steps if step.on_failure == "continue")
        self._answer: bool | None = None
        self._heeds_answer = False
        self._is_too_late = False
        self._is_spoken_for = False
        self._is_showing = False
        self._showing: asyncio.Task[None] | None = None
        self._run_slot = RunSlot(plan)
        self._begin = RunBegin(plan, self._run_slot, lambda: self._run(self._state))
        self._closing = RunClosing(self._run_slot)
        self._listeners = Listeners()
        self._funds = RunFunds(plan.budget, self._run_slot.tell_account) if plan.budget else None
        run = RunRef(
            self._pipeline_logging_id, plan.header.pipeline_id, plan.header.tenant_id, info.workflow_start_time
        )
        self._activities = StepActivities(run, self._funds)
        self._left_records = LeftRecords(run, plan)

    @workflow.signal(name=GRANT_SIGNAL)
    def grant(self) -> None:
        """The tenant's gate has given the run a slot."""
        self._run_slot.grant()

    @workflow.signal(name=ASKED_SIGNAL)
    def hear_of_asking(self, engine_run_id: str, is_given: bool = True) -> None:
        """Who started a run of this workflow, this one or one before it, has asked the gate for a slot: the run has it, or waits for it.
        Kept histories have it without `is_given`."""
        if engine_run_id == workflow.info().run_id:
            self._answer = is_given
            self._heed_answer()

    @workflow.signal(name=REPORT_SIGNAL, unfinished_policy=workflow.HandlerUnfinishedPolicy.ABANDON)
    async def report(self) -> None:
        """A gate wants to know what the run holds."""
        await self._run_slot.report()
        if self._funds is not None:
            await self._funds.report()

    @workflow.signal(name=FUNDING_SIGNAL)
    def fund(self, funding: Funding) -> None:
        """The tenant's gate has decided on bytes that the run wants to reserve."""
        if self._funds is not None:
            self._funds.answer(funding)

    @workflow.signal(name=LISTEN_SIGNAL)
    def listen(self, listener: Listener) -> None:
        """Somebody wants to be told of the run's end."""
        self._listeners.add(listener)

    @workflow.run
    async def run(self, plan: Plan) -> RunState:
        """Execute the plan. The result is the last state that the run shows: who waits for its end then has it at once."""
        self._left_records.prepare(may_be_left=workflow.patched(RECORDED_WITH_NEXT))
        may_end_with_step = is_patched(ENDED_WITH_STEP)
        may_begin_with_step = is_patched(BEGUN_WITH_STEP)
        self._heeds_answer = may_begin_with_step
        self._heed_answer()
        self._is_spoken_for = is_patched(SPOKEN_FOR)
        self._closing.prepare(
            may_be_with_step=may_end_with_step, gives_slot_back=self._is_spoken_for and self._funds is None
        )
        begun = (
            asyncio.create_task(self._begin.see_to_it(may_be_with_step=may_begin_with_step))
            if self._is_spoken_for
            else self._begin.record()
        )
        try:
            if self._is_spoken_for or workflow.patched(GATE):
                await self._run_slot.enter(is_spoken_for=self._is_spoken_for)
            # All of them, also where one is cut off: none may go on once the run's end is recorded.
            async with asyncio.timeout(plan.timeout_seconds):
                for outcome in await asyncio.gather(*map(self._execute, plan.steps), return_exceptions=True):
                    if isinstance(outcome, BaseException):
                        raise outcome
        except (asyncio.CancelledError, TimeoutError) as error:
            self._is_too_late = isinstance(error, TimeoutError)
            self._state = replace(self._state, steps=cancelled(self._state.steps, workflow.now()))
        ended = self._ended()
        recording = asyncio.create_task(self._close(begun, ended))
        while not recording.done():
            with suppress(asyncio.CancelledError):  # A run that has ended is recorded, whoever cancels it.
                await asyncio.shield(recording)
        recording.result()
        self._show(ended)
        return self._state

    def _heed_answer(self) -> None:
        """Only in a run that began under this code: one of an earlier release, which a later one's starter has spoken for, has passed it
        over."""
        if self._heeds_answer and self._answer is not None:
            self._run_slot.hear_of_asking(is_given=self._answer)

    async def _execute(self, step: PlanStep) -> None:
        if self._status(step.step_id).is_terminal:  # done by the run that this one goes on from
            return
        await workflow.wait_condition(lambda: all(self._status(name).is_terminal for name in step.depends_on))
        if any(self._blocks_dependents(name) for name in step.depends_on):
            self._set(step, status=StepStatus.SKIPPED)
            return
        async with self._slots:
            self._set(step, status=StepStatus.RUNNING, start_time=workflow.now())
            newest_source_row_time = None
            begins = self._begin.beside(step.step_id)
            closes = None
            left_records: tuple[AttemptRecord, ...] = ()
            result = StepResult()
            try:
                if step.when is not None and not await self._activities.condition_is_true(step):
                    self._set(step, status=StepStatus.SKIPPED, end_time=workflow.now())
                    return
                if step.query is not None and step.query.newest_source_row is not None:
                    newest_source_row_time = await self._activities.newest_row_time(step)
                if begins is not None or self._begin.is_recorded:  # what ends a run finds its row
                    closes = self._closes(step, newest_source_row_time)
                left_records = self._left_records.take()
                result = await self._activities.run_step(
                    step,
                    begins=begins,
                    closes=closes,
                    left_records=left_records,
                    leaves_record=self._left_records.is_to_leave(step, self._blocks_dependents),
                )
                outcome: dict[str, Any] = {"status": StepStatus.COMPLETE}
            except ActivityError as failure:
                if is_cancelled_exception(failure) or is_being_cancelled():
                    raise asyncio.CancelledError from failure
                error, result = failure_of(failure, step.step_id)
                outcome = {"status": StepStatus.FAILED, "error": error}
            except StepOverBudget as exceeded:
                result = exceeded.result
                outcome = {"status": StepStatus.FAILED, "error": exceeded.error}
            finally:
                if begins is not None:
                    self._begin.hear(is_recorded=result.has_begun_run)
                self._left_records.hear(step, left_records, result)
        if closes is not None and self._closing.hear(closes, step.step_id, result):
            return
        self._set(
            step,
            **outcome,
            end_time=workflow.now(),
            **result.step_fields(),
            newest_source_row_time=newest_source_row_time,
        )

    def _closes(self, last: PlanStep, newest_source_row_time: datetime | None) -> Closing | None:
        """What is to be ended with this step, where it is the last and its success is the run's."""
        others = (step for step in self._state.steps if step.step_id != last.step_id)
        if not all(step.status.is_terminal and not self._fails_run(step) for step in others):
            return None
        state = self._state.with_step(last.step_id, newest_source_row_time=newest_source_row_time)
        return self._closing.with_step(self._run(state))

    async def _close(self, begun: Awaitable[None], ended: RunState) -> None:
        self._begin.end()
        with suppress(ActivityError):
            await begun
        await self._left_records.add()
        has_left = await self._closing.record(self._run(ended))
        if self._funds is not None:
            await self._funds.close()
        await self._run_slot.leave(is_spoken_for=has_left)
        await self._listeners.tell(RunEnd(self._pipeline_logging_id, ended.status))

    def _run(self, state: RunState) -> Run:
        return Run(self._pipeline_logging_id, workflow.info().workflow_start_time, self._header, state)

    def _blocks_dependents(self, step_id: str) -> bool:
        """Whether no step that depends on this one may go on as it stands: it has not succeeded, and no failure of it was passed over."""
        status = self._status(step_id)
        return status is not StepStatus.COMPLETE and not (status is StepStatus.FAILED and step_id in self._passed_over)

    def _status(self, step_id: str) -> StepStatus:
        return next(step.status for step in self._state.steps if step.step_id == step_id)

    def _set(self, changed: PlanStep, **fields: Any) -> None:
        """Change one step; the first that starts is the run's start."""
        state = self._state
        if state.status is RunStatus.PENDING:
            state = replace(state, status=RunStatus.RUNNING, start_time=workflow.now())
        self._show(state.with_step(changed.step_id, **fields))

    def _show(self, state: RunState) -> None:
        """Change the state, and show it."""
        if not self._is_spoken_for or state.status.is_terminal:
            self._show_now(state)
            return
        self._state = state
        if not self._is_showing:
            self._is_showing = True
            self._showing = asyncio.create_task(self._show_soon())

    async def _show_soon(self) -> None:
        """Show what has become of the state once all that wait for this change have gone on: the end of a step and the begin of the next in
        one."""
        await workflow.wait_condition(lambda: True)  # which is looked at after theirs
        await asyncio.sleep(0)
        self._is_showing = False
        if not self._state.status.is_terminal:  # else it is shown already
            self._show_now(self._state)

    def _show_now(self, state: RunState) -> None:
        self._state = replace(state, version=self._state.version + 1)
        workflow.upsert_memo({STATE_MEMO: self._state})

    def _ended(self) -> RunState:
        """The terminal state, which waits to be shown until it is recorded."""
        if self._closing.state is not None:
            return self._closing.state
        steps = self._state.steps
        failed = next(filter(self._fails_run, steps), None)
        if self._is_too_late:
            too_late = RunError("RUN_TIMEOUT", "The run took longer than its timeout; what was published stays")
            return replace(self._closed(RunStatus.FAILED), error=too_late)
        if any(step.status is StepStatus.CANCELLED for step in steps):
            return self._closed(RunStatus.CANCELLED)
        if failed is not None:
            return replace(self._closed(RunStatus.FAILED), error=failed.error)
        return self._closed(RunStatus.COMPLETE)

    def _fails_run(self, step: Step) -> bool:
        return step.status is StepStatus.FAILED and self._blocks_dependents(step.step_id)

    def _closed(self, status: RunStatus) -> RunState:
        return replace(self._state, status=status, end_time=workflow.now())
