"""Runs the parts of a stack as separate processes: in the order of what they need, again when they die, ended in reverse order."""

import asyncio
from collections.abc import Callable, Sequence

from local_stack.console import Console
from local_stack.keeper import Keeper
from local_stack.part import Part
from local_stack.part_log import PartLog
from local_stack.state import State


class Supervisor:
    """One life of a stack. Each part names only parts before it in `after`."""

    def __init__(self, parts: Sequence[Part], state: State, console: Console, *, start_timeout_seconds: float) -> None:
        self._keepers = {
            part.name: Keeper(
                part,
                state,
                PartLog(part.name, state.log_file(part.name), console),
                console.say,
                start_timeout_seconds=start_timeout_seconds,
            )
            for part in parts
        }
        self._console = console
        self._stop = asyncio.Event()
        self._hasten = asyncio.Event()

    def request_stop(self) -> None:
        """End the stack; asked again, end it at once. Safe in a signal handler of the event loop."""
        (self._hasten if self._stop.is_set() else self._stop).set()

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Run until `request_stop`; calls `on_ready` once every part was ready. Raises StackError where one cannot start.
        Whatever happens, no part runs any more when this returns."""
        keeping = asyncio.create_task(self._keep_all(on_ready))
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait((keeping, stopping), return_when="FIRST_COMPLETED")
            if keeping.done():
                await keeping
            self._console.say("stopping")
        finally:
            self._stop.set()  # from here on a signal hastens
            keeping.cancel()
            stopping.cancel()
            await asyncio.gather(keeping, stopping, return_exceptions=True)
            for keeper in reversed(self._keepers.values()):
                await keeper.stop(self._hasten)

    async def _keep_all(self, on_ready: Callable[[], None]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for keeper in self._keepers.values():
                    group.create_task(self._keep(keeper))
                for keeper in self._keepers.values():
                    await keeper.ready.wait()
                on_ready()
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _keep(self, keeper: Keeper) -> None:
        for name in keeper.part.after:
            await self._keepers[name].ready.wait()
        await keeper.keep()
