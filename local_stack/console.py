"""The one readable log: what every part prints, line by line, behind its name.

Written by a thread of its own, so that a reader who stops reading (a pager, a full pipe) cannot hold up the supervisor. Lines that nobody
takes are dropped and counted; the files under log/ have them all.
"""

import contextlib
import os
import queue
import threading
import time

CAPACITY_LINES = 10_000
FLUSH_SECONDS = 1.0
"""How long `close` waits for a reader."""
COLORS = {
    "supervisor": 1,
    "warehouse": 36,
    "kms": 35,
    "temporal": 34,
    "tenant_service": 32,
    "pipeline_service": 33,
    "gateway": 31,
}
WIDTH = max(map(len, COLORS))


class Console:
    """Writes to a file descriptor; `color` marks the names, for a terminal."""

    def __init__(self, descriptor: int, *, color: bool = False) -> None:
        self._descriptor = descriptor
        self._color = color
        self._lines: queue.Queue[bytes] = queue.Queue(CAPACITY_LINES)
        self._dropped = 0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._write, name="console", daemon=True)
        self._thread.start()

    def say(self, text: str, name: str = "supervisor") -> None:
        """Print a line of the part `name`. Never blocks."""
        code = COLORS.get(name, 0) if self._color else 0
        label = f"\x1b[{code}m{name:<{WIDTH}}\x1b[0m" if code else f"{name:<{WIDTH}}"
        self.announce(f"{label} | {text}")

    def announce(self, line: str) -> None:
        """Print a line as it is. Never blocks."""
        try:
            self._lines.put_nowait(f"{line}\n".encode(errors="replace"))
        except queue.Full:
            self._dropped += 1

    def close(self) -> None:
        """Wait, at most FLUSH_SECONDS, until all is written."""
        deadline = time.monotonic() + FLUSH_SECONDS
        self._closed.set()
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(b"")
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def _write(self) -> None:
        while not (self._closed.is_set() and self._lines.empty()):
            line = self._lines.get()
            if self._dropped:
                line += f"{'supervisor':<{WIDTH}} | {self._dropped} lines were dropped here: see the files in log/\n".encode()
                self._dropped = 0
            while line:
                try:
                    line = line[os.write(self._descriptor, line) :]
                except OSError:
                    return  # nobody reads any more; the stack goes on, and its files have everything
