"""One supervisor per state folder: `run/supervisor.pid`, locked for as long as its process lives, kill -9 included (flock(2))."""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator

from local_stack import pid_files
from local_stack.errors import StackError
from local_stack.state import State


@contextlib.contextmanager
def supervisor_lock(state: State, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock. Raises StackError where another stack runs on this folder."""
    path = state.pid_file(pid_files.SUPERVISOR)
    descriptor = _locked(state)
    try:
        stale = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        if stale:
            say(f"removed the stale pid file {path}: process {stale} is no supervisor of this stack")
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        path.unlink(
            missing_ok=True
        )  # before the lock goes: whoever waits for it sees that the file is no longer the one
        os.close(descriptor)


def _locked(state: State) -> int:
    path = state.pid_file(pid_files.SUPERVISOR)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            pid = pid_files.read(path)
            raise StackError(
                f"a stack already runs on {state.root}{f' (pid {pid})' if pid else ''}: stop it first, or use another --state-dir"
            ) from None
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                return descriptor
        os.close(descriptor)  # the holder before us removed it between our open and our lock
