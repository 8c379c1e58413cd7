"""A tethered process dies with its parent, whatever kills that."""

import os
import signal
import subprocess
import sys

from local_stack import pid_files, tether
from tests.waiting import eventually

PARENT = f"""
import os, signal, subprocess, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-I", "-S", {tether.__file__!r}, str(os.getpid()), sys.executable, "-S", "-c",
    "import signal; print(int(signal.getsignal(signal.SIGINT) is not signal.SIG_IGN), flush=True); signal.pause()"])
print(child.pid, flush=True)
child.wait()
"""


def test_killed_parent_takes_its_child_along_and_ignored_signals_are_not_inherited() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        assert parent.stdout.readline() == "1\n"
        assert pid_files.is_alive(child)
        parent.kill()
        eventually(lambda: not pid_files.is_alive(child))


def test_process_whose_parent_is_already_gone_does_not_start() -> None:
    command = [sys.executable, "-I", "-S", tether.__file__, "1", "/bin/true"]
    assert os.getpid() != 1
    assert subprocess.run(command, check=False, timeout=10).returncode == tether.ORPHANED


def test_pid_stays_the_same_across_the_tether() -> None:
    command = [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), "/bin/sh", "-c", "echo $$"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert int(process.stdout.read()) == process.pid
    assert process.returncode == 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
