"""Pid files, and whom to believe: a number in a file is a process of ours only if that process carries our mark.

The mark is an environment variable that names the state folder and the part. It tells two stacks on one machine apart, which a command
line cannot, and a process that merely got a dead one's number.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from local_stack.state import State, write_private

MARK = "CONVERGENCE_LOCAL_PART"
SUPERVISOR = "supervisor"
KILL_SECONDS = 5.0
"""How long to wait for a killed leftover to be gone."""


def mark(state: State, name: str) -> str:
    """The value of MARK in the environment of the part `name`."""
    return f"{state.root}:{name}"


def write(path: Path, pid: int) -> None:
    """Record a process, atomically."""
    write_private(path, f"{pid}\n")


def read(path: Path) -> int | None:
    """The recorded pid; None where the file is missing or does not hold one."""
    try:
        pid = int(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return pid if pid > 0 else None


def is_alive(pid: int) -> bool:
    """Whether a process has this number, whoever's it is."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def is_ours(pid: int, state: State, name: str) -> bool:
    """Whether this process is the part `name` of this state folder. A zombie is nobody's."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return f"{MARK}={mark(state, name)}".encode() in variables


def sweep(state: State, say: Callable[[str], None]) -> None:
    """Remove the pid files of an earlier life and end what is left of it. Call it only while holding the supervisor's lock."""
    for path in sorted(state.run.glob("*.pid")):
        name, pid = path.stem, read(path)
        if name == SUPERVISOR:
            continue
        if pid is not None and is_ours(pid, state, name):
            say(f"ending {name} (pid {pid}), left over from an earlier stack")
            _end(pid, state, name)
        elif pid is not None and is_alive(pid):
            say(f"removed the stale pid file {path}: process {pid} is not {name}")
        else:
            say(f"removed the stale pid file {path}: {f'process {pid}' if pid else 'its process'} is gone")
        path.unlink(missing_ok=True)


def _end(pid: int, state: State, name: str) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)  # what a part acknowledged survives this by design
    deadline = time.monotonic() + KILL_SECONDS
    while is_ours(pid, state, name) and time.monotonic() < deadline:
        time.sleep(0.01)
