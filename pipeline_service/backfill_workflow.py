"""The workflow of a backfill: has the runs of its days started, so many at a time, hears of their ends, and keeps count in its memo.

Deterministic, and changed only so that histories of the last release still replay. Its days are ordinary runs, which take slots of the
tenant's gate; it takes none itself. A history has about a dozen events for each day, of at most 1,100, so it never needs a second one.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from pipeline_service.activities import Activities
    from pipeline_service.activity_options import ATTEMPT, HEARTBEAT_TIMEOUT, UNTIL_DONE, UNTIL_RECORDED
    from pipeline_service.backfill import Backfill, Day, DayStatus
    from pipeline_service.backfill_activities import BackfillActivities
    from pipeline_service.backfill_messages import BackfillRef, DayStarted, DaysTask, DayTask, RunEnd, day_status
    from pipeline_service.backfill_plan import BackfillPlan
    from pipeline_service.failures import failure_of
    from pipeline_service.run import Run, RunError, RunState, RunStatus
    from pipeline_service.run_id import pipeline_logging_id_for
    from pipeline_service.state_memo import fields_of
    from pipeline_service.temporal_names import BACKFILL_WORKFLOW, ENDED_SIGNAL

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


@workflow.defn(name=BACKFILL_WORKFLOW)
class BackfillWorkflow:
    """One backfill. Like a run, it closes only after its terminal row is written, and shows its terminal state only as it closes."""

    @workflow.init
    def __init__(self, plan: BackfillPlan) -> None:
        info = workflow.info()
        self._header = plan.header
        self._first_look = timedelta(seconds=plan.first_look_seconds)
        self._shown = self._state = plan.first_state()
        run_id = pipeline_logging_id_for(info.workflow_id, info.run_id)
        self._ref = BackfillRef(plan.header.tenant_id, run_id, info.workflow_id, info.run_id)
        self._places = asyncio.Semaphore(plan.backfill.max_parallel)
        self._looking_up: asyncio.Task[Any] | None = None
        self._starting: dict[str, asyncio.Task[Any]] = {}
        self._unheard_of: set[str] = set()
        self._active: dict[str, str] = {}
        self._ends: dict[str, RunEnd] = {}
        self._closing: deque[str] = deque(maxlen=plan.backfill.max_parallel)
        self._is_stopped = False
        self._first_problem = ""
        self._stopping: asyncio.Task[None] | None = None

    @workflow.signal(name=ENDED_SIGNAL)
    def ended(self, end: RunEnd) -> None:
        """The run of a day has ended."""
        date = self._active.get(end.pipeline_logging_id)
        if date is None:
            self._ends[end.pipeline_logging_id] = end  # before the activity that started it could say so
        else:
            self._end(replace(self._day(date), status=day_status(end.status)))
        self._closing.append(end.pipeline_logging_id)

    @workflow.run
    async def run(self, plan: BackfillPlan) -> None:
        """Run the days."""
        working = asyncio.create_task(self._work(skip_complete=plan.backfill.skip_complete))
        while not working.done():
            try:
                await asyncio.shield(working)
            except asyncio.CancelledError:  # A backfill is recorded as it ended, whoever cancels it.
                self._stop()
        working.result()

    async def _work(self, *, skip_complete: bool) -> None:
        begun = asyncio.create_task(self._record(Activities.begin_run, self._state))
        showing = asyncio.create_task(self._show_changes())
        looking = asyncio.create_task(self._look())
        if skip_complete:
            await self._skip_complete()
        await asyncio.gather(*(self._run_day(day.date) for day in self._days(DayStatus.PENDING)))
        for task in (showing, looking):
            task.cancel()
        await self._see_closed()
        ended = self._ended()
        await begun
        await self._record(Activities.end_run, ended)
        self._state = ended
        self._show()

    async def _run_day(self, date: str) -> None:
        """Have a day's run started, and return when it has ended."""
        async with self._places:
            if self._day(date).status.is_terminal:
                return
            handle = self._starting[date] = self._ask(BackfillActivities.start_day, DayTask(self._ref, date))
            try:
                self._take(await handle)
            except ActivityError as failure:
                if self._is_stopped:
                    self._unheard_of.add(date)
                else:
                    self._take(DayStarted(self._failed(date), failure_of(failure, "")[0]))
            finally:
                del self._starting[date]
            await workflow.wait_condition(lambda: self._day(date).status.is_terminal)

    async def _skip_complete(self) -> None:
        """Pass over the days that are complete. Where that cannot be known, none is run."""
        looking_up = self._looking_up = self._ask(BackfillActivities.find_complete_days, self._ref)
        try:
            found = await looking_up
            for day in self._days(DayStatus.PENDING):
                if (run_id := found.runs.get(day.date)) is not None:
                    self._end(Day(day.date, DayStatus.SKIPPED, run_id))
        except ActivityError as failure:
            if not self._is_stopped:
                for day in self._days(DayStatus.PENDING):
                    self._take(DayStarted(self._failed(day.date), failure_of(failure, "")[0]))
        finally:
            self._looking_up = None

    async def _see_closed(self) -> None:
        """Return once the last runs have closed, which tell of their end a moment before: whoever sees the backfill's end sees theirs."""
        task = DaysTask(
            self._ref, tuple(day for day in self._backfill.days if day.pipeline_logging_id in self._closing)
        )
        if task.days:
            with suppress(ActivityError):
                await self._ask(BackfillActivities.see_closed, task)

    def _take(self, started: DayStarted) -> None:
        """Take in where a day stands, unless it has ended meanwhile."""
        day, error = started.day, started.error
        if self._day(day.date).status.is_terminal:
            return
        if error is not None:
            self._first_problem = (
                self._first_problem or f"; {day.date} could not be started, {error.reason}: {error.message}"
            )
            self._end(self._failed(day.date))  # and goes on naming the run that it was to go on from
            return
        if self._state.status is RunStatus.PENDING:
            self._state = replace(self._state, status=RunStatus.RUNNING, start_time=workflow.now())
        self._active[day.pipeline_logging_id] = day.date
        if (end := self._ends.pop(day.pipeline_logging_id, None)) is not None:
            day = replace(day, status=day_status(end.status))
        self._set(day)

    def _stop(self) -> None:
        """Start no more days, and end those that were started."""
        if not self._is_stopped:
            self._is_stopped = True
            self._stopping = asyncio.create_task(self._stop_days())

    async def _stop_days(self) -> None:
        for handle in filter(None, (self._looking_up, *self._starting.values())):
            handle.cancel()
        for day in self._days(DayStatus.PENDING):
            if day.date not in self._starting:
                self._end(replace(day, status=DayStatus.CANCELLED))
        await workflow.wait_condition(lambda: not self._starting and self._looking_up is None)
        left = [day for day in self._backfill.days if not day.status.is_terminal]
        await self._refresh(BackfillActivities.stop_days, [day for day in left if not day.joined])
        for day in left:
            if day.joined:
                self._end(replace(day, status=DayStatus.CANCELLED))

    async def _look(self) -> None:
        """Look at the days that are active, now and then."""
        pause = self._first_look
        while True:
            await workflow.sleep(pause)
            pause *= 2
            await self._refresh(BackfillActivities.look_at_days, self._days(DayStatus.RUNNING))

    async def _refresh(
        self, activity: Callable[[BackfillActivities, DaysTask], Awaitable[tuple[Day, ...]]], days: Sequence[Day]
    ) -> None:
        """Take in what an activity says of days."""
        if not days:
            return
        try:
            for day in await self._ask(activity, DaysTask(self._ref, tuple(days))):
                self._take(DayStarted(day))
        except ActivityError:
            workflow.logger.exception("days of backfill %s cannot be asked after", self._ref.pipeline_logging_id)

    def _ask(
        self, activity: Callable[[BackfillActivities, Asked], Awaitable[Answer]], asked: Asked
    ) -> workflow.ActivityHandle[Answer]:
        return workflow.start_activity_method(
            activity,
            asked,
            start_to_close_timeout=ATTEMPT,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=UNTIL_DONE,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )

    async def _record(self, activity: Callable[[Activities, Run], Awaitable[None]], state: RunState) -> None:
        """Write the backfill's row. A warehouse that is away is waited for; one that refuses leaves it to the engine's memory."""
        try:
            await workflow.execute_activity_method(
                activity,
                Run(self._ref.pipeline_logging_id, workflow.info().workflow_start_time, self._header, state),
                start_to_close_timeout=ATTEMPT,
                heartbeat_timeout=HEARTBEAT_TIMEOUT,
                retry_policy=UNTIL_RECORDED,
            )
        except ActivityError:
            workflow.logger.exception("backfill %s could not be recorded", self._ref.pipeline_logging_id)

    @property
    def _backfill(self) -> Backfill:
        assert self._state.backfill is not None  # noqa: S101 - a backfill's state has one
        return self._state.backfill

    def _day(self, date: str) -> Day:
        return self._backfill.day(date)

    def _days(self, status: DayStatus) -> list[Day]:
        return [day for day in self._backfill.days if day.status is status]

    def _failed(self, date: str) -> Day:
        return replace(self._day(date), status=DayStatus.FAILED)

    def _end(self, day: Day) -> None:
        """Set how a day ended, unless that is known."""
        if not self._day(day.date).status.is_terminal:
            self._set(day)

    def _set(self, day: Day) -> None:
        self._state = replace(self._state, backfill=self._backfill.with_day(day))

    async def _show_changes(self) -> None:
        """Show all changes of a moment at once."""
        while True:
            await workflow.wait_condition(lambda: self._state is not self._shown)
            self._show()

    def _show(self) -> None:
        shown = self._shown
        self._shown = self._state = replace(self._state, version=shown.version + 1)
        workflow.upsert_memo(fields_of(self._state, shown))

    def _ended(self) -> RunState:
        """The terminal state, which waits to be shown until it is recorded."""
        ended = replace(self._state, end_time=workflow.now())
        counts = self._backfill.counts
        left = sum(count for status, count in counts.items() if not status.is_done)
        if not left:
            return replace(ended, status=RunStatus.COMPLETE)
        if self._is_stopped and counts[DayStatus.CANCELLED]:
            return replace(ended, status=RunStatus.CANCELLED)
        message = f"{left} of {sum(counts.values())} days did not complete{self._first_problem}"
        return replace(ended, status=RunStatus.FAILED, error=RunError("DAYS_FAILED", message))
