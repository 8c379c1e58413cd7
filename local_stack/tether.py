"""Becomes a command that dies with the process that started it: ``python -I -S tether.py PARENT_PID PROGRAM [ARGUMENT...]``.

The kernel sends SIGKILL when the parent dies (prctl(2), PR_SET_PDEATHSIG), however that came about, and keeps doing so across execve(2),
so the pid that the parent knows is the server's own. "Parent" is the thread that forked: start parts from the main thread only.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
ORPHANED = 125
"""Exit status where the parent was gone before the tether held."""


def main() -> None:
    """Tether this process and replace it by the command; never returns."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        sys.exit(ORPHANED)
    # What this interpreter or the supervisor's parent (nohup, `trap '' INT`) ignores would stay ignored in the command.
    for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    os.execv(command[0], command)  # noqa: S606  no shell is the point


if __name__ == "__main__":
    main()
