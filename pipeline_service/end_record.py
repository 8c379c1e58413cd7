"""The end of a run: its record, its slot, and what it staged; where it can be, within the activity of its last step, which saves the run
an activity and a task."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import replace

from temporalio import activity

from common.clock import Clock
from common.warehouse.warehouse import Warehouse
from pipeline_service.gate_door import GateDoor
from pipeline_service.gate_messages import GateSignal, SlotRequest
from pipeline_service.records import Records
from pipeline_service.run import Run
from pipeline_service.step_result import Closing, StepResult
from pipeline_service.steps.attempt import stage_table
from pipeline_service.temporal_names import LEAVE_SIGNAL

PATIENCE_SECONDS = 3.0
"""How long a step whose run is cancelled, or whose worker shuts down, while it ends its run still waits for each thing that this takes. A
run that does not hear of its end has it recorded by an activity of its own, whose word is the last."""


class EndRecord:
    """Writes the ends of runs."""

    def __init__(self, records: Records, warehouse: Warehouse, door: GateDoor, clock: Clock) -> None:
        self._records = records
        self._warehouse = warehouse
        self._door = door
        self._clock = clock

    async def write(self, run: Run, *, attempt: int, leaving: SlotRequest | None = None) -> None:
        """Record how a run ended, then give back the slot that it holds; drop what it staged. `attempt` counts, from 1, the calls for this
        run. Raises Transient, Terminal, and Unavailable where the engine is away."""
        async with self._dropping_stages(run):
            await self._records.end_run(run, attempt=attempt)
            if leaving is not None:
                await self._leave(leaving, run)

    async def write_with(self, closing: Closing, step_id: str, result: StepResult) -> StepResult:
        """Do the same for a run whose last step has come to this result; what fails is left to the run. The result, which says when the run
        ended if that is recorded, and whether its slot is given back. Nobody can cut that off at once: the record must not say otherwise
        than the run."""
        # However our clock goes, not before the step began.
        end_time = max(self._clock.now(), activity.info().started_time)
        ended = replace(result, run_end_time=end_time.isoformat())
        run = closing.ended(step_id, ended)
        dropping = asyncio.create_task(self._drop_stages(run))
        if not await _is_done(self._records.end_run_with_step(run)):
            dropping.cancel()
            return result
        has_left = await _is_done(self._leave(closing.asking, run))
        await _is_done(dropping)
        return replace(ended, has_left=has_left)

    async def _leave(self, asking: SlotRequest, run: Run) -> None:
        await self._door.tell(GateSignal(run.header.tenant_id, LEAVE_SIGNAL, asking))

    @asynccontextmanager
    async def _dropping_stages(self, run: Run) -> AsyncIterator[None]:
        """Drop them meanwhile: none of the run's steps goes on. A stage that stays expires by itself."""
        dropping = asyncio.create_task(self._drop_stages(run))
        try:
            yield
            await dropping
        finally:
            dropping.cancel()

    async def _drop_stages(self, run: Run) -> None:
        stages = [
            stage_table(run.header.tenant_id, run.pipeline_logging_id, step.step_id)
            for step in run.state.steps
            if step.destination_table and step.start_time
        ]
        await asyncio.gather(*map(self._warehouse.delete_table, stages), return_exceptions=True)


async def _is_done(work: Awaitable[None]) -> bool:
    """Whether it came to its end, also where whoever waits for it is cancelled: then if it does so within PATIENCE_SECONDS. An error is
    told by whoever meets it again."""
    doing, waiting = asyncio.ensure_future(work), asyncio.current_task()
    patience_seconds = PATIENCE_SECONDS if waiting is not None and waiting.cancelling() else None
    while True:
        try:
            await asyncio.wait([doing], timeout=patience_seconds)
            break
        except asyncio.CancelledError:
            patience_seconds = PATIENCE_SECONDS
    doing.cancel()
    return doing.done() and not doing.cancelled() and doing.exception() is None
