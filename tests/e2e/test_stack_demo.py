"""`make demo`, as a newcomer runs it."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.waiting import eventually

COMMAND = [sys.executable, "-m", "local_stack", "demo"]
DEMO_SECONDS = 60.0


def states() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("convergence-demo-*"))


@pytest.fixture(autouse=True)
def temporary_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_demo_shows_all_of_the_main_job_within_a_minute_and_leaves_nothing() -> None:
    began = time.monotonic()
    done = subprocess.run(COMMAND, capture_output=True, text=True, timeout=150, check=False)
    took = time.monotonic() - began
    assert done.returncode == 0, done.stdout + done.stderr
    for wanted in (
        r"Customer acmeinc_23xv2 onboarded successfully: 5 tables, dry run SUCCESS",
        r"Customer techcorp_99zx4 onboarded successfully: 5 tables, dry run SUCCESS",
        r"daily_cost +RUNNING",
        r"reconcile_cost",
        r"Compute Engine",
        r"ReadTable: PERMISSION_DENIED TENANT_MISMATCH",
        r"a second run, \d+ rows and [\d,.]+ USD as before",
        r"All seen in",
    ):
        assert re.search(wanted, done.stdout), f"{wanted} in\n{done.stdout}"
    assert not re.search(r"_api_[A-Za-z0-9]{16}", done.stdout)
    assert "✗" not in done.stdout
    assert states() == set()
    assert took < DEMO_SECONDS


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
