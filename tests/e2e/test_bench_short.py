"""The benchmark works. Its figures are for `make bench`: a busy machine must not fail a test."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

MEASURED = (
    "idle memory of tenant_service, at first",
    "idle memory of pipeline_service, at first",
    "all interceptors / bare grpc.aio echo",
    "ListTemplates / bare grpc.aio echo",
    "ListTemplates over REST / over gRPC",
    "ListTemplates over gRPC, through the gateway / straight",
    "GetRun of an active run / bare describe",
    "verification of a key, warm",
    "keys of 10,000 tenants, 3 each",
    "a good key amid 50 guesses / without",
    "a good key amid 50 guesses / without, p99",
    "RunTemplate / bare workflow start",
    "RunTemplate with request_id / bare workflow start",
    "three-step run less its SQL / bare three activities",
    "three-step run / its SQL sent directly",
    "3 x 60 calls at once: memory after / before",
    "2,000-row day: run / its statements sent directly",
    "2,000-row day: growth of pipeline_service",
    "a change of a run, until its watcher has it: median",
    "a change of a run, until its watcher has it: longest",
    "10 idle watchers of 10 runs: memory",
    "10 idle watchers of 10 runs: threads",
    "10 idle watchers of 10 runs: % of a core",
    "5 runs: growth of pipeline_service",
    "5 runs: the same by the line of best fit",
    "5 runs: memory of pipeline_service, at most",
    "5 runs: memory of pipeline_service, at last",
    "idle memory of tenant_service, at last",
    "idle memory of pipeline_service, at last",
)


@pytest.mark.timeout(450)
def test_short_bench_prints_every_measurement_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("PYTEST_XDIST_")]:
        monkeypatch.delenv(name)  # the benchmark runs a pytest of its own, which is nobody's worker
    command = [sys.executable, "-m", "bench", "--short"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in MEASURED:
        assert re.search(rf"^{re.escape(name)} +-?\d.* (not judged|for information)$", done.stdout, re.MULTILINE), name
    assert list(tmp_path.iterdir()) == []
