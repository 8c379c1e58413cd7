"""Keeps one part alive: starts it once what it needs is ready, and starts it again whenever it dies."""

import asyncio
import time
from collections.abc import Callable

from local_stack.errors import StackError
from local_stack.part import Part
from local_stack.part_log import PartLog
from local_stack.process import Process
from local_stack.state import State

FIRST_ATTEMPTS = 3
"""How often a part may fail before it was ever ready: once can be bad luck, three times is not."""
PROBE_SECONDS = 0.05
STEADY_SECONDS = 10.0
"""A part that lived this long starts again at once, and with a clean record."""
RESTART_SECONDS = (0.0, 0.2, 0.5, 1.0, 1.5)
"""Wait before a restart, by how often the part died in a row. Always under the 2 s that the stack promises."""


class Keeper:
    """Keeps one part from its first start until `stop`. `ready` is set once it was ready for the first time."""

    def __init__(
        self, part: Part, state: State, log: PartLog, say: Callable[[str], None], *, start_timeout_seconds: float
    ) -> None:
        self.part = part
        self.ready = asyncio.Event()
        self._state = state
        self._log = log
        self._say = say
        self._timeout = start_timeout_seconds
        self._process: Process | None = None

    async def keep(self) -> None:
        """Run until cancelled; a part that does its work once ends it. Raises StackError where the part cannot start at first."""
        await self._start_first()
        self.ready.set()
        if self.part.is_ready:
            await self._keep_alive()

    async def stop(self, hasten: asyncio.Event) -> None:
        """End the part; call it after `keep` was cancelled."""
        if self._process:
            await self._process.stop(hasten)
        self._log.close()

    async def _start_first(self) -> None:
        for attempt in range(FIRST_ATTEMPTS):
            if attempt:
                await asyncio.sleep(RESTART_SECONDS[attempt])
            started = time.monotonic()
            problem = await self._start()
            if problem is None:
                self._say(f"{self._label} is ready after {time.monotonic() - started:.1f} s")
                return
            self._say(f"{self._label} {problem} before it was ready")
        raise StackError(f"{self.part.name} cannot start: it {problem}; see {self._state.log_file(self.part.name)}")

    async def _start(self) -> str | None:
        """One start. None once the part is ready, otherwise what went wrong; then nothing of it runs."""
        self._process = process = await Process.start(self.part, self._state, self._log)
        becoming_ready = asyncio.ensure_future(self._becoming_ready(process))
        try:
            done, _ = await asyncio.wait(
                {process.ended, becoming_ready}, timeout=self._timeout, return_when="FIRST_COMPLETED"
            )
        finally:
            becoming_ready.cancel()
        if process.ended in done:
            return None if not self.part.is_ready and process.succeeded else process.outcome
        if becoming_ready in done:
            becoming_ready.result()
            return None
        problem = f"was not ready within {self._timeout:g} s"
        self._say(f"{self._label} {problem}: ending it")
        await process.kill()
        return problem

    async def _becoming_ready(self, process: Process) -> None:
        if self.part.is_ready is None:
            await process.ended
            return
        while not await self.part.is_ready():  # noqa: ASYNC110  another process has no event to wait for
            await asyncio.sleep(PROBE_SECONDS)

    async def _keep_alive(self) -> None:
        deaths = 0
        while self._process:
            steady_from = time.monotonic() + STEADY_SECONDS
            await asyncio.shield(self._process.ended)
            died = time.monotonic()
            deaths = 0 if died > steady_from else deaths
            self._say(f"{self._label} {self._process.outcome}: starting it again")
            await asyncio.sleep(RESTART_SECONDS[min(deaths, len(RESTART_SECONDS) - 1)])
            deaths += 1
            if await self._start() is None:
                self._say(f"{self._label} is back after {time.monotonic() - died:.1f} s")

    @property
    def _label(self) -> str:
        return f"{self.part.name} (pid {self._process.pid})" if self._process else self.part.name
