"""`python -m local_stack up` as a process, for tests: its lines, its ports, its parts' pids."""

import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.waiting import eventually

PARTS = ("warehouse", "kms", "temporal", "tenant_service", "pipeline_service", "gateway")
START_SECONDS = 90.0
STOP_SECONDS = 40.0
ANY_PORT = ("--tenant-port=0", "--pipeline-port=0", "--gateway-port=0")


class Up:
    """One life of a stack on a state folder. Leave the block and it is gone."""

    def __init__(
        self, state: Path, *flags: str, environ: Mapping[str, str] | None = None, shell_prefix: str = ""
    ) -> None:
        self.state = state
        command: Sequence[str] = [
            sys.executable,
            "-m",
            "local_stack",
            "up",
            "--state-dir",
            str(state),
            *(flags or ANY_PORT),
        ]
        if shell_prefix:
            command = ["/bin/sh", "-c", f'{shell_prefix}; exec "$@"', "sh", *command]
        self.process = subprocess.Popen(
            command,
            env={**os.environ, **(environ or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._lines.append(line.rstrip("\n"))

    @property
    def output(self) -> str:
        return "\n".join(self._lines)

    def __enter__(self) -> "Up":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join(10)
        assert self.process.stdout
        self.process.stdout.close()

    def until_ready(self) -> dict[str, str]:
        """The addresses of the line that starts with `ready`."""
        eventually(lambda: self._ready_line() or self.process.poll() is not None, START_SECONDS, self.output)
        line = self._ready_line()
        assert line, self.output
        return dict(part.split("=", 1) for part in line.split()[1:])

    def _ready_line(self) -> str | None:
        return next((line for line in list(self._lines) if line.startswith("ready")), None)

    def until_said(self, pattern: str, seconds: float = 30.0) -> None:
        """Wait until a line matches."""
        eventually(lambda: re.search(pattern, self.output), seconds, f"{pattern} in\n{self.output}")

    def end(self, number: signal.Signals) -> int:
        """Send a signal and give the exit status."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """The exit status, and all output read."""
        status = self.process.wait(STOP_SECONDS)
        self._reader.join(10)
        return status

    def pid(self, name: str) -> int:
        """What the pid file of a part says."""
        return int((self.state / "run" / f"{name}.pid").read_text())

    def pids(self) -> dict[str, int]:
        """All parts."""
        return {name: self.pid(name) for name in PARTS}


def is_alive(pid: int) -> bool:
    """Whether a process runs under this number; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def is_serving(address: str) -> bool:
    """Whether the health check of a service answers SERVING."""
    with grpc.insecure_channel(address) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=2)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def is_open(address: str) -> bool:
    """Whether the gateway has a healthy replica of both services."""
    try:
        with urllib.request.urlopen(f"http://{address}/healthz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
