"""Ending work on a cursor from another thread, or at its deadline."""

import contextlib
import threading
from collections.abc import Iterator

import duckdb

from common.errors import Terminal, WarehouseError

WATCHER = "watch"
"""What the watching threads are called."""
_AGAIN_SECONDS = 0.02


class Stop:
    """Why one piece of work is to end, once it is. The first reason stays."""

    def __init__(self) -> None:
        self._wanted = threading.Event()
        self._guard = threading.Lock()
        self.reason: WarehouseError | None = None

    def request(self, reason: WarehouseError) -> None:
        """End the work, now or as soon as it starts."""
        with self._guard:
            self.reason = self.reason or reason
        self._wanted.set()

    def check(self) -> None:
        """Raise the reason, if there is one."""
        if self.reason is not None:
            raise self.reason

    @contextlib.contextmanager
    def watching(self, cursor: duckdb.DuckDBPyConnection, *, timeout_seconds: float) -> Iterator[None]:
        """Interrupt the cursor's statements from the moment the end is requested or the time is up until the block is left."""
        left = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(cursor, timeout_seconds, left), name=WATCHER, daemon=True)
        watcher.start()
        try:
            yield
            self.check()
        except WarehouseError:
            self.check()
            raise
        finally:
            left.set()
            self._wanted.set()
            watcher.join()

    def _watch(self, cursor: duckdb.DuckDBPyConnection, timeout_seconds: float, left: threading.Event) -> None:
        if not self._wanted.wait(timeout_seconds):
            self.request(Terminal("The job ran longer than its timeout", reason="STEP_TIMEOUT"))
        # An interrupt holds for the running statement only: between two of them it is lost.
        while not left.wait(_AGAIN_SECONDS):
            cursor.interrupt()
