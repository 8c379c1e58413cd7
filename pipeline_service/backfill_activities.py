"""What a backfill asks of the world: which days are done already, starting one, looking at some, stopping some.

None waits for a run, so that none holds a worker's place for long.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from temporalio import activity

from common.errors import (
    ConvergenceError,
    DependencyRefused,
    PipelineBusy,
    RunNotFound,
    TenantNotReady,
    TenantSuspended,
    Transient,
    Unavailable,
)
from common.for_each import map_each
from common.tenants.tenants import Tenants
from pipeline_service.backfill import Day, DayStatus
from pipeline_service.backfill_days import BackfillDays
from pipeline_service.backfill_messages import BackfillRef, CompleteDays, DayStarted, DaysTask, DayTask, day_status
from pipeline_service.engine import RunEngine
from pipeline_service.get_run import GetRun, Located
from pipeline_service.heartbeat import LONGEST_PAUSE_ATTEMPT, retried
from pipeline_service.records import Records
from pipeline_service.step_errors import as_run_error

_AT_ONCE = 16
_PASSING = (Transient, Unavailable, DependencyRefused, TenantSuspended, TenantNotReady, PipelineBusy)
"""What a day waits for: a tenant that is suspended is not left without its days when it is resumed."""
_LOOKS, _PAUSE_SECONDS = 10, 0.05
_MOST_ATTEMPTS = 10
"""At what nobody foresaw."""


class BackfillActivities:
    """The activities of one worker."""

    def __init__(
        self, *, days: BackfillDays, engine: RunEngine, get_run: GetRun, records: Records, tenants: Tenants
    ) -> None:
        self._days = days
        self._engine = engine
        self._get_run = get_run
        self._records = records
        self._tenants = tenants

    @activity.defn
    async def find_complete_days(self, backfill: BackfillRef) -> CompleteDays:
        """The days whose last run of the same parameters is COMPLETE."""
        async with _repeated():
            plan = (await self._days.backfill(backfill)).plan
            first, last = plan.backfill.start_date, plan.backfill.end_date
            return CompleteDays(await self._records.complete_days(plan.header, first, last))

    @activity.defn
    async def start_day(self, task: DayTask) -> DayStarted:
        """Start a day's run, or join the one that is active, and have it tell of its end. A repeat gets the run that was started before."""
        async with _repeated():
            try:
                return DayStarted(await self._start(task.backfill, task.date))
            except _PASSING:
                raise
            except ConvergenceError as error:
                return DayStarted(Day(task.date, DayStatus.FAILED), as_run_error(error))

    @activity.defn
    async def look_at_days(self, task: DaysTask) -> tuple[Day, ...]:
        """Where these days stand now; each has a run."""
        async with _repeated():
            return await self._each(task, self._as_it_stands)

    @activity.defn
    async def stop_days(self, task: DaysTask) -> tuple[Day, ...]:
        """Cancel the runs of these days that the backfill started, also where it was never told of one. Where they stand now: a day whose
        run goes on is RUNNING, one without a run of the backfill's CANCELLED. While one cannot be stopped this is repeated, whatever the
        reason, once the others are: a backfill that has ended leaves no run of its own behind."""
        problems: list[Exception] = []

        async def stop(backfill: BackfillRef, day: Day) -> Day:
            try:
                return await self._stop(backfill, day)
            except Exception as error:  # noqa: BLE001 - raised once the others are stopped
                problems.append(error)
                return day

        async with _repeated(most_attempts=None):
            days = await self._each(task, stop)
            if problems:
                raise problems[0]
            return days

    @activity.defn
    async def see_closed(self, task: DaysTask) -> None:
        """Return once the engine has the runs of these days as ended, of which all but a moment is over."""
        async with _repeated():
            await self._each(task, self._closed)

    async def _closed(self, backfill: BackfillRef, day: Day) -> Day:
        for _ in range(_LOOKS):
            located = await self._located(backfill, day.pipeline_logging_id)
            if located is None or located.run.state.status.is_terminal:
                return day
            await asyncio.sleep(_PAUSE_SECONDS)
        raise Unavailable("A run has not closed yet")

    async def _start(self, backfill: BackfillRef, date: str) -> Day:
        await self._tenants.require_ready(backfill.tenant_id)
        plan = await self._days.plan(backfill, date)
        started = await self._engine.start(plan.workflow_id, plan, start_id=_start_id(backfill, date))
        run_id = started.pipeline_logging_id
        if run_id == plan.header.retry_of:
            raise Unavailable("The run that this one goes on from has not closed yet")
        located = await self._located(backfill, run_id)
        joined = located.run.header.backfill_of != backfill.pipeline_logging_id if located else started.already_running
        return await self._heard(backfill, Day(date, DayStatus.RUNNING, run_id, joined), located)

    async def _stop(self, backfill: BackfillRef, day: Day) -> Day:
        is_known = day.status is DayStatus.RUNNING
        run_id = day.pipeline_logging_id if is_known else await self._unheard_of(backfill, day.date)
        located = await self._located(backfill, run_id) if run_id else None
        if located is None or located.run.header.backfill_of != backfill.pipeline_logging_id:
            return replace(day, status=DayStatus.CANCELLED)
        now = await self._heard(backfill, replace(day, pipeline_logging_id=run_id), located)
        if located.execution is not None and not now.status.is_terminal:
            await self._engine.cancel(located.execution.active_run)
        return now

    async def _unheard_of(self, backfill: BackfillRef, date: str) -> str:
        """The run that was started for a day by an attempt that did not live to say so; empty where there is none."""
        try:
            plan = await self._days.plan(backfill, date)
        except _PASSING:
            raise
        except ConvergenceError:
            return ""
        latest = await self._engine.latest_of(plan.workflow_id, plan.header.work_id)
        return latest.run.pipeline_logging_id if latest is not None else ""

    async def _as_it_stands(self, backfill: BackfillRef, day: Day) -> Day:
        return await self._heard(backfill, day, await self._located(backfill, day.pipeline_logging_id))

    async def _heard(self, backfill: BackfillRef, day: Day, located: Located | None) -> Day:
        """The day as its run stands, which tells the backfill of its end where that is still to come."""
        if located is None:
            return replace(day, status=DayStatus.FAILED)
        if (execution := located.execution) is not None and not located.run.state.status.is_terminal:
            if await self._engine.listen(execution.active_run, backfill.listener):
                return replace(day, status=DayStatus.RUNNING)
            located = await self._located(backfill, day.pipeline_logging_id) or located
        return replace(day, status=day_status(located.run.state.status))

    async def _located(self, backfill: BackfillRef, run_id: str) -> Located | None:
        """Where a run is; None where the engine has forgotten it before it was recorded."""
        try:
            return await self._get_run.find(backfill.tenant_id, run_id)
        except RunNotFound:
            return None

    async def _each(self, task: DaysTask, act: Callable[[BackfillRef, Day], Awaitable[Day]]) -> tuple[Day, ...]:
        return tuple(await map_each(task.days, lambda day: act(task.backfill, day), at_once=_AT_ONCE))


def _start_id(backfill: BackfillRef, date: str) -> str:
    """The id under which every attempt starts a day, so that the engine lets one of them start it."""
    return str(uuid.uuid5(uuid.UUID(backfill.pipeline_logging_id), date))


def _repeated(*, most_attempts: int | None = _MOST_ATTEMPTS) -> AbstractAsyncContextManager[None]:
    """For ever where it may pass, and otherwise up to `most_attempts`, None for ever."""

    def may_repeat(error: Exception) -> bool:
        return most_attempts is None or isinstance(error, _PASSING) or activity.info().attempt < most_attempts

    return retried(may_repeat, longest_pause_attempt=LONGEST_PAUSE_ATTEMPT)
