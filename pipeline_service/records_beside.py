"""What is recorded beside a step, within its activity: that the run has begun, or the rows that the steps before left to it. It saves the
run an activity and a task, and those steps the time."""

import asyncio
from contextlib import suppress
from types import TracebackType

from temporalio import activity

from pipeline_service.records import Records
from pipeline_service.step_result import StepTask

PATIENCE_SECONDS = 5.0
"""How long a step that has ended waits for it. What a run does not hear to be written is written by another activity, which attaches to the
jobs of this one."""


class RecordsBeside:
    """Writes while the block lasts, and gives up with it: the attempt at the step may end first."""

    def __init__(self, records: Records, task: StepTask) -> None:
        self._records = records
        self._task = task
        self._writing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "RecordsBeside":
        if self._task.begins is not None or self._task.left_records:
            self._writing = asyncio.create_task(self._write(activity.info().attempt))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait([self._writing])
            with suppress(asyncio.CancelledError):
                self._writing.exception()  # told by the activity that meets it again

    async def are_written(self) -> bool:
        """Whether they are, once that is known or the patience is used up, which it is as soon as somebody cancels the attempt: the step is
        done, and the run is to hear it. True also where there is nothing to write."""
        if self._writing is None:
            return True
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await asyncio.shield(self._writing)
        except (asyncio.CancelledError, Exception):  # noqa: BLE001 - told by the activity that meets it again
            return False
        return True

    async def _write(self, attempt: int) -> None:
        if self._task.begins is not None:
            await self._records.begin_run(self._task.begins, attempt=attempt)
        await self._records.add_attempts(self._task.run, self._task.left_records, tries=attempt)
