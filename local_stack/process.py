"""A part's process: started on a tether, recorded in its pid file, ended within bounds."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

from local_stack import pid_files, tether
from local_stack.errors import StackError
from local_stack.part import Part
from local_stack.part_log import PartLog
from local_stack.state import State

TETHER = (sys.executable, "-I", "-S", tether.__file__)


class Process:
    """One life of a part. It runs in a session of its own: Ctrl-C at a terminal reaches the supervisor alone."""

    def __init__(self, part: Part, process: asyncio.subprocess.Process, pid_file: Path) -> None:
        self._part = part
        self._process = process
        self._pid_file = pid_file
        self.ended = asyncio.ensure_future(process.wait())

    @classmethod
    async def start(cls, part: Part, state: State, log: PartLog) -> "Process":
        """Start the part. A server's pid file names it from then on. Raises StackError where its program does not exist."""
        if not os.access(part.command[0], os.X_OK):
            raise StackError(f"{part.name} cannot start: there is no program {part.command[0]}")
        output = log.open_pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *TETHER,
                str(os.getpid()),
                *part.command,
                env={**part.environment, pid_files.MARK: pid_files.mark(state, part.name)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=state.root,
                start_new_session=True,
            )
        except OSError as error:
            raise StackError(f"{part.name} cannot start: {error}") from error
        finally:
            os.close(output)
        pid_file = state.pid_file(part.name)
        if part.is_ready:
            pid_files.write(pid_file, process.pid)
        return cls(part, process, pid_file)

    @property
    def pid(self) -> int:
        """The process, which is the server itself."""
        return self._process.pid

    @property
    def outcome(self) -> str:
        """How an ended process ended, for a sentence that starts with its name."""
        status = self._process.returncode
        if status is None:
            return "is running"
        if status < 0:
            return f"was killed by {signal.Signals(-status).name}"
        return f"exited with status {status}"

    @property
    def succeeded(self) -> bool:
        """Whether it ended with status 0."""
        return self._process.returncode == 0

    async def stop(self, hasten: asyncio.Event) -> None:
        """End it with SIGTERM, and with SIGKILL once its time is up or `hasten` is set; then remove its pid file."""
        if not self.ended.done():
            self.send(signal.SIGTERM)
            hastened = asyncio.ensure_future(hasten.wait())
            await asyncio.wait({self.ended, hastened}, timeout=self._part.stop_seconds, return_when="FIRST_COMPLETED")
            hastened.cancel()
            await self.kill()
        if self._part.is_ready:
            self._pid_file.unlink(missing_ok=True)

    async def kill(self) -> None:
        """End it at once; nothing to do where it has ended."""
        self.send(signal.SIGKILL)
        await self.ended

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if the process is still there."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
