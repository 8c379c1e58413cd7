"""The supervisor's lock, and pid files of earlier lives."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from local_stack import pid_files
from local_stack.errors import StackError
from local_stack.lock import supervisor_lock
from local_stack.state import State
from tests.waiting import eventually

GONE = 2**22 - 1
"""A pid that Linux does not hand out by default."""


def test_second_stack_on_one_folder_is_refused_and_the_first_is_named(state: State) -> None:
    with (
        supervisor_lock(state, print),
        pytest.raises(StackError, match=f"already runs on .* \\(pid {os.getpid()}\\)"),
        supervisor_lock(state, print),
    ):
        pass
    assert not state.pid_file("supervisor").exists()


def test_refused_stack_leaves_the_first_one_its_lock(state: State) -> None:
    with supervisor_lock(state, print):
        for _ in range(2):
            with pytest.raises(StackError), supervisor_lock(state, print):
                pass
        assert pid_files.read(state.pid_file("supervisor")) == os.getpid()


def test_stale_supervisor_file_is_replaced_with_a_message(state: State) -> None:
    pid_files.write(state.pid_file("supervisor"), GONE)
    said: list[str] = []
    with supervisor_lock(state, said.append):
        assert pid_files.read(state.pid_file("supervisor")) == os.getpid()
    assert len(said) == 1
    assert "stale pid file" in said[0]


@pytest.mark.parametrize("content", [f"{GONE}\n", "", "not a number", "-1", "0"])
def test_stale_pid_file_is_removed_with_a_message(state: State, content: str) -> None:
    state.pid_file("warehouse").write_text(content)
    said: list[str] = []
    pid_files.sweep(state, said.append)
    assert not state.pid_file("warehouse").exists()
    assert len(said) == 1
    assert "removed the stale pid file" in said[0]


def test_process_that_merely_has_the_number_is_left_alone(state: State) -> None:
    pid_files.write(state.pid_file("warehouse"), os.getpid())
    said: list[str] = []
    pid_files.sweep(state, said.append)
    assert said == [f"removed the stale pid file {state.pid_file('warehouse')}: process {os.getpid()} is not warehouse"]


def test_leftover_of_an_earlier_life_is_ended_and_one_of_another_stack_is_not(state: State) -> None:
    marks = {"warehouse": pid_files.mark(state, "warehouse"), "kms": "/another/.local:kms"}
    sleepers = {
        name: subprocess.Popen(
            [sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE, env={pid_files.MARK: mark}
        )
        for name, mark in marks.items()
    }
    try:
        for name, sleeper in sleepers.items():
            eventually(lambda path=Path(f"/proc/{sleeper.pid}/environ"): path.read_bytes())  # type: ignore[misc]
            pid_files.write(state.pid_file(name), sleeper.pid)
        pid_files.sweep(state, lambda text: None)
        assert sleepers["warehouse"].wait(10) == -9
        assert sleepers["kms"].poll() is None
    finally:
        for sleeper in sleepers.values():
            sleeper.kill()
            sleeper.wait()
            assert sleeper.stdin
            sleeper.stdin.close()
