"""A service as a process of its own, told by its environment as in production; what it logs is kept."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.api_keys.hashing import digest_of
from tests.local_kms import KEY, EmulatorProcess
from tests.rpc.tenant_stack import ADMIN
from tests.waiting import eventually
from tests.warehouses import LocalServer

START_SECONDS = 60.0


class ServiceProcess:
    """`python -m MODULE` that serves, on a free port."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.logged('listening')[0]['port']}"

    def events(self) -> list[dict[str, Any]]:
        """What it has logged so far."""
        return [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The lines of one kind."""
        return [line for line in self.events() if line["event"] == event]

    def until_logged(self, event: str) -> None:
        """Wait until there is such a line. Fails where the process ends before."""
        eventually(lambda: self.logged(event) or self._process.poll() is not None, START_SECONDS, event)
        assert self.logged(event), self._log.read_text()

    def terminate(self) -> None:
        """SIGTERM."""
        self._process.send_signal(signal.SIGTERM)

    def exit_status(self, *, seconds: float) -> int:
        """The exit status, within so long."""
        return self._process.wait(seconds)


@contextmanager
def service_process(module: str, log: Path, environment: Mapping[str, str]) -> Iterator[ServiceProcess]:
    """Start a service; at the end it is gone."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CONVERGENCE_")}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", module], env={**inherited, **environment}, stdout=file, stderr=file
        )
    try:
        yield ServiceProcess(process, log)
    finally:
        process.kill()
        process.wait()


def environment_of(folder: Path, local_server: LocalServer, kms: EmulatorProcess, **settings: str) -> dict[str, str]:
    """What every service is told that uses these."""
    token_file = folder / "warehouse-token"
    token_file.touch(mode=0o600)
    token_file.write_text(local_server.token.reveal())
    variables = {
        "listen_address": "127.0.0.1:0",
        "warehouse": "local",
        "warehouse_address": local_server.address,
        "warehouse_token_file": str(token_file),
        "project": "local",
        "admin_key_hashes": digest_of(ADMIN),
        "kms_endpoint": kms.address,
        "kms_token_file": str(kms.token_file),
        **settings,
    }
    return {"GCP_KMS_KEY_NAME": KEY, **{f"CONVERGENCE_{name.upper()}": value for name, value in variables.items()}}
