"""What a part prints, from its pipe into its log file and onto the console, line by line."""

import asyncio
import os
from pathlib import Path

from local_stack.console import Console

ROTATE_BYTES = 16 * 1024 * 1024
LONGEST_LINE_BYTES = 64 * 1024
"""A longer line is cut in two on the console."""
BATCH_SECONDS = 0.02
"""How long lines are left to gather: a service that logs every call must not wake the supervisor for each."""


class PartLog:
    """The log of one part, across its restarts. Must be used on the event loop."""

    def __init__(self, name: str, path: Path, console: Console) -> None:
        if path.exists() and path.stat().st_size > ROTATE_BYTES:
            path.replace(path.with_suffix(".log.1"))
        self._name = name
        self._console = console
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._pipes: dict[int, bytes] = {}

    def open_pipe(self) -> int:
        """The descriptor that a new process gets as its output. The caller closes it once the process has it."""
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        self._pipes[reader] = b""
        self._listen(reader)
        return writer

    def close(self) -> None:
        """Take what the pipes still hold, and close them and the file."""
        for reader in list(self._pipes):
            while self._read(reader):
                pass
            if reader in self._pipes:  # a grandchild still holds the other end
                self._end(reader)
        os.close(self._file)

    def _listen(self, reader: int) -> None:
        loop = asyncio.get_running_loop()

        def gather() -> None:
            loop.remove_reader(reader)
            loop.call_later(BATCH_SECONDS, take)

        def take() -> None:
            if reader in self._pipes:
                self._read(reader)
            if reader in self._pipes:  # not read to its end
                loop.add_reader(reader, gather)

        loop.add_reader(reader, gather)

    def _read(self, reader: int) -> bool:
        try:
            chunk = os.read(reader, LONGEST_LINE_BYTES)
        except BlockingIOError:
            return False
        if not chunk:
            self._end(reader)
            return False
        os.write(self._file, chunk)
        *lines, rest = (self._pipes[reader] + chunk).split(b"\n")
        if len(rest) > LONGEST_LINE_BYTES:
            lines, rest = [*lines, rest], b""
        self._pipes[reader] = rest
        for line in lines:
            self._show(line)
        return True

    def _end(self, reader: int) -> None:
        asyncio.get_running_loop().remove_reader(reader)
        os.close(reader)
        if rest := self._pipes.pop(reader):
            self._show(rest)

    def _show(self, line: bytes) -> None:
        if text := line.decode(errors="replace").rstrip():
            self._console.say(text, self._name)
