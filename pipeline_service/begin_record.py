"""The begin of a run's record, written beside the first step: within its activity, which saves the run an activity and a task."""

import asyncio
from contextlib import suppress
from types import TracebackType

from temporalio import activity

from pipeline_service.records import Records
from pipeline_service.run import Run

PATIENCE_SECONDS = 5.0
"""How long a step that has ended waits for it. A run that does not hear that it is written has it written by an activity of its own, which
attaches to the job of this one."""


class BeginRecord:
    """Writes while the block lasts, and gives up with it: the attempt at the step may end first."""

    def __init__(self, records: Records, run: Run | None) -> None:
        """Without a `run` there is nothing to write."""
        self._records = records
        self._run = run
        self._writing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "BeginRecord":
        if self._run is not None:
            self._writing = asyncio.create_task(self._records.begin_run(self._run, attempt=activity.info().attempt))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait([self._writing])
            with suppress(asyncio.CancelledError):
                self._writing.exception()  # told by the activity that meets it again

    async def is_written(self) -> bool:
        """Whether it is, once that is known or the patience is used up."""
        if self._writing is None:
            return False
        with suppress(Exception):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await asyncio.shield(self._writing)
                return True
        return False
