"""One follower of each watched run in this process, however many callers watch it."""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import replace

from common.errors import Unavailable
from pipeline_service.engine import Execution, RunEngine
from pipeline_service.queue_looks import QueueLooks
from pipeline_service.run import Run, RunStatus

_RETRY_SECONDS = (0.2, 2.0)
"""Spread, so that the watchers of a server that stops do not all come to the next one at once."""


class Watches:
    """Fans the changes of runs out. A run is followed while somebody watches it."""

    def __init__(self, engine: RunEngine) -> None:
        self._engine = engine
        self._looks = QueueLooks(engine)
        self._followed: dict[str, _Followed] = {}
        self._ended = False

    def end(self) -> None:
        """End every watch with Unavailable, those that begin later included: this process stops, and the run goes on."""
        self._ended = True
        for followed in self._followed.values():
            followed.wake()

    async def changes(self, execution: Execution) -> AsyncGenerator[Run]:
        """What `RunEngine.changes` yields, and the run at each new place in the queue, shared. Raises Unavailable when the engine goes
        away, or the watches are ended. Close it when not read to its end."""
        key = execution.run.pipeline_logging_id
        followed = self._followed.get(key)
        if followed is None:
            followed = self._followed[key] = _Followed(execution, self._engine.changes(execution), self._looks)
            followed.task.add_done_callback(lambda _: self._forget(key, followed))
        followed.watchers += 1
        try:
            position = 0
            while position < len(followed.runs) or not followed.task.done():
                while position < len(followed.runs):
                    yield followed.runs[position]
                    position += 1
                if self._ended:
                    raise _stopping()
                await followed.wait()
            followed.task.result()
        finally:
            followed.watchers -= 1
            if not followed.watchers:
                followed.task.cancel()
                self._forget(key, followed)

    def _forget(self, key: str, followed: "_Followed") -> None:
        if self._followed.get(key) is followed:
            del self._followed[key]


class _Followed:
    """A run being followed: its states so far, few and small, and a task that adds to them."""

    def __init__(self, execution: Execution, changes: AsyncGenerator[Run], looks: QueueLooks) -> None:
        self.runs: list[Run] = []
        self.watchers = 0
        self._changed = asyncio.Event()
        self._execution = execution
        self._looks = looks
        self.task = asyncio.create_task(self._follow(changes))
        self.task.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def wait(self) -> None:
        """Return after the next change, or when there will be none."""
        if not self.task.done():
            await self._changed.wait()

    async def _follow(self, changes: AsyncGenerator[Run]) -> None:
        placing = asyncio.create_task(self._place())
        try:
            async with aclosing(changes) as runs:
                async for run in runs:
                    self._add(run)
                    if not self._waits():
                        placing.cancel()
        finally:
            placing.cancel()
            self.wake()

    async def _place(self) -> None:
        """Add the run at each new place. To be cancelled once it does not wait."""
        while True:
            with suppress(Unavailable):  # of which the changes tell
                queue = await self._looks.next(self._execution.run.header.tenant_id)
                place = queue.position_of(self._execution.workflow_id)
                if self.runs and self._waits() and place not in (0, self.runs[-1].queue_position):
                    self._add(replace(self.runs[-1], queue_position=place))

    def _waits(self) -> bool:
        return self.runs[-1].state.status is RunStatus.PENDING

    def _add(self, run: Run) -> None:
        self.runs.append(run)
        self.wake()

    def wake(self) -> None:
        """Let everybody who waits look again."""
        self._changed.set()
        self._changed = asyncio.Event()


def _stopping() -> Unavailable:
    delay = random.uniform(*_RETRY_SECONDS)  # noqa: S311 - spreads load, guards nothing
    return Unavailable("The server is stopping; the run goes on and can be watched again", retry_delay_seconds=delay)
