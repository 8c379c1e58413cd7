"""One follower of each watched run in this process, however many callers watch it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from pipeline_service.engine import Execution, RunEngine
from pipeline_service.run import Run


class Watches:
    """Fans the changes of runs out. A run is followed while somebody watches it."""

    def __init__(self, engine: RunEngine) -> None:
        self._engine = engine
        self._followed: dict[str, _Followed] = {}

    async def changes(self, execution: Execution) -> AsyncGenerator[Run]:
        """What `RunEngine.changes` yields, shared. Raises Unavailable when the engine goes away. Close it when not read to its end."""
        key = execution.run.pipeline_logging_id
        followed = self._followed.get(key)
        if followed is None:
            followed = self._followed[key] = _Followed(self._engine.changes(execution))
            followed.task.add_done_callback(lambda _: self._forget(key, followed))
        followed.watchers += 1
        try:
            position = 0
            while position < len(followed.runs) or not followed.task.done():
                while position < len(followed.runs):
                    yield followed.runs[position]
                    position += 1
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

    def __init__(self, changes: AsyncGenerator[Run]) -> None:
        self.runs: list[Run] = []
        self.watchers = 0
        self._changed = asyncio.Event()
        self.task = asyncio.create_task(self._follow(changes))
        self.task.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def wait(self) -> None:
        """Return after the next change, or when there will be none."""
        if not self.task.done():
            await self._changed.wait()

    async def _follow(self, changes: AsyncGenerator[Run]) -> None:
        try:
            async with aclosing(changes) as runs:
                async for run in runs:
                    self.runs.append(run)
                    self._wake()
        finally:
            self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
