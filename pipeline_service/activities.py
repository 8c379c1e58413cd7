"""What the engine calls: a step, and a run's record, from its begin over the rows that its steps left to its end. `heartbeat` says how they
live and fail.

Without their causes: the engine keeps the text of every cause in its history, and a vendor's may quote rows or hold a token.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import structlog
from temporalio import activity

from common.clock import Clock
from common.errors import WarehouseError
from common.warehouse.warehouse import Warehouse
from pipeline_service.end_record import EndRecord
from pipeline_service.failures import as_application_error, attempt_cancelled, more_bytes_wanted
from pipeline_service.gate_door import GateDoor
from pipeline_service.gate_messages import SlotRequest
from pipeline_service.heartbeat import is_given_up, retried, while_alive
from pipeline_service.price import Price
from pipeline_service.records import Records
from pipeline_service.records_beside import RecordsBeside
from pipeline_service.run import Run, RunError
from pipeline_service.step_errors import as_run_error, may_pass, may_pass_soon
from pipeline_service.step_result import AttemptRecord, NewestRow, RunRef, StepDecision, StepResult, StepTask
from pipeline_service.steps.attempt import PUBLISH, Attempt, NoLongerWanted
from pipeline_service.steps.executor import StepExecutor
from pipeline_service.steps.funds import Funds, MoreBytesWanted
from pipeline_service.steps.outage import Outage
from pipeline_service.still_wanted import run_is_wanted
from pipeline_service.temporal_names import STEP_ACTIVITY

AnyResult = TypeVar("AnyResult")

_log = structlog.get_logger(__name__)


class Activities:
    """The activities of one worker."""

    def __init__(
        self, *, steps: StepExecutor, records: Records, warehouse: Warehouse, door: GateDoor, clock: Clock, price: Price
    ) -> None:
        self._steps = steps
        self._records = records
        self._end = EndRecord(records, warehouse, door, clock)
        self._clock = clock
        self._price = price

    @activity.defn(name=STEP_ACTIVITY)
    async def run_step(self, task: StepTask) -> StepResult:
        """Execute one attempt at a step and record it, unless its row is left to the next. Beside it, record what the task says comes
        before; after it, the end of the run. What fails of these two does not fail the step: see RecordsBeside, EndRecord."""
        start_time = self._clock.now()

        def record_of(attempt: Attempt, error: RunError | None = None) -> AttemptRecord:
            return AttemptRecord.of(
                attempt.step, attempt.result(), start_time=start_time, end_time=self._clock.now(), error=error
            )

        async def execute(attempt: Attempt) -> StepResult:
            if (result := await self._success_before(attempt, beside)) is not None:
                return result
            try:
                await self._steps.run(attempt)
            except Exception:
                # An attempt that was given up may have ended the run, and dropped what it staged.
                with suppress(WarehouseError):
                    if task.closes is not None and (result := await self._success_before(attempt, beside)) is not None:
                        return result
                raise
            own = record_of(attempt)
            if not task.leaves_record:
                await self._records.add_attempt(task.run, own, tries=attempt.number)
            attempt.has_recorded_beside = await beside.are_written()
            return own.left_in(attempt.result()) if task.leaves_record else await self._close(task, attempt)

        async def record(attempt: Attempt, error: RunError) -> None:
            with suppress(WarehouseError):  # The failure to tell of may be that the warehouse is away.
                await self._records.add_attempt(task.run, record_of(attempt, error), tries=attempt.number)
            attempt.has_recorded_beside = await beside.are_written()

        async with RecordsBeside(self._records, task) as beside:
            return await self._seen_through(task, execute, record)

    async def _success_before(self, attempt: Attempt, beside: RecordsBeside) -> StepResult | None:
        result = await self._records.success_before(attempt) if attempt.follows_another else None
        return result and result.with_beside(is_written=await beside.are_written())

    async def _close(self, task: StepTask, attempt: Attempt) -> StepResult:
        """What the attempt did, and the end of its run, where that falls to this step. An attempt that follows another leaves that to the
        run: the other may have recorded an end at its own time."""
        result = attempt.result()
        if task.closes is None or attempt.follows_another or not attempt.has_recorded_beside:
            return result
        return await self._end.write_with(task.closes, task.step.step_id, result)

    @activity.defn
    async def decide_step(self, task: StepTask) -> bool:
        """Tell whether a step's condition holds."""

        return await self._seen_through(task, self._steps.decide, _forget)

    @activity.defn
    async def decide_funded_step(self, task: StepTask) -> StepDecision:
        """Tell whether a step's condition holds, where the run has a budget."""

        async def decide(attempt: Attempt) -> StepDecision:
            return StepDecision(await self._steps.decide(attempt), attempt.billed())

        return await self._seen_through(task, decide, _forget)

    @activity.defn
    async def find_newest_row(self, task: StepTask) -> NewestRow:
        """Tell how fresh a step's source is."""

        async def find(attempt: Attempt) -> NewestRow:
            return NewestRow(await self._steps.find_newest_row(attempt), attempt.billed())

        return await self._seen_through(task, find, _forget)

    async def _seen_through(
        self,
        task: StepTask,
        act: Callable[[Attempt], Awaitable[AnyResult]],
        record: Callable[[Attempt, RunError], Awaitable[None]],
    ) -> AnyResult:
        """What an attempt makes of a step, from its beginning again after a warehouse was away. `record` is told how it fails."""
        outage = Outage(self._clock)
        funds = None if task.funds is None else Funds(task.funds)
        async with while_alive():
            while True:
                attempt = self._attempt(task, funds, repeated=outage.has_waited or PUBLISH in (task.funds or ()))
                try:
                    return await act(attempt)
                except MoreBytesWanted as more:
                    raise more_bytes_wanted(attempt.result(more.wanted)) from None
                except asyncio.CancelledError:
                    if funds is None or is_given_up():
                        raise
                    raise attempt_cancelled(attempt.result()) from None
                except NoLongerWanted:
                    raise attempt_cancelled(attempt.result()) from None
                except Exception as error:  # noqa: BLE001 - told as a failure, and logged where nobody foresaw it
                    described = as_run_error(error)
                    _log_failure(attempt, described)
                    if await outage.waited_out(error):
                        continue
                    await record(attempt, described)
                    repeat = may_pass_soon(error) and attempt.number < task.step.max_attempts
                    raise as_application_error(
                        described, attempt.result(), repeat=repeat, attempt=attempt.number
                    ) from None

    def _attempt(self, task: StepTask, funds: Funds | None, *, repeated: bool) -> Attempt:
        info = activity.info()
        return Attempt(
            task.run,
            task.step,
            number=task.attempt or info.attempt,
            schedule_time=info.scheduled_time,
            leaves_jobs=is_given_up,
            price=self._price,
            is_wanted=run_is_wanted,
            repeated=repeated,
            funds=funds,
            billed_before=task.billed_before,
        )

    @activity.defn
    async def begin_run(self, run: Run) -> None:
        """Record that a run has begun."""
        async with retried(may_pass):
            await self._records.begin_run(run, attempt=activity.info().attempt)

    @activity.defn
    async def record_attempts(self, run: RunRef, records: list[AttemptRecord]) -> None:
        """Add the rows of steps that have succeeded, which no step after them is known to have added."""
        tries = activity.info().attempt + 1  # a step may have used up the first
        async with retried(may_pass):
            await self._records.add_attempts(run, records, tries=tries)

    @activity.defn
    async def end_run(self, run: Run) -> None:
        """Record how a run ended, and drop what it staged."""
        async with retried(may_pass):
            await self._end.write(run, attempt=activity.info().attempt)

    @activity.defn
    async def close_run(self, run: Run, asking: SlotRequest) -> None:
        """The same, and give the run's slot back once its end is recorded."""
        async with retried(may_pass):
            await self._end.write(run, attempt=activity.info().attempt, leaving=asking)


async def _forget(_attempt: Attempt, _error: RunError) -> None:
    """A condition, or the search for the newest row, leaves no record of its own."""


def _log_failure(attempt: Attempt, described: RunError) -> None:
    _log.warning(
        "step attempt failed",
        pipeline_logging_id=attempt.run.pipeline_logging_id,
        step_id=attempt.step.step_id,
        attempt=attempt.number,
        reason=described.reason,
        message=described.message,
    )
