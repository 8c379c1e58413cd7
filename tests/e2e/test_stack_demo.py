"""`make demo`, interrupted. What it shows when it is left alone is for test_wheels.py."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.waiting import eventually

COMMAND = [sys.executable, "-m", "local_stack", "demo"]


def states() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("convergence-demo-*"))


@pytest.fixture(autouse=True)
def temporary_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_interrupted_demo_stops_its_stack_and_leaves_nothing() -> None:
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, text=True, start_new_session=True) as demo:
        assert demo.stdout
        eventually(
            lambda: list(states()) and list(next(iter(states())).glob("run/temporal.pid")), 30.0, "the stack starts"
        )
        pid = int(next(iter(states())).joinpath("run/temporal.pid").read_text())
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=40)
    assert demo.returncode == 130
    assert not os.path.exists(f"/proc/{pid}")  # noqa: PTH110
    assert states() == set()
