"""Services in processes of their own, as production has replicas, forked as `tests.forking` tells."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, cast

from common.clock import SystemClock
from common.encryption.kms import connect
from common.rpc.run_service import run_service
from common.rpc.server import Server
from common.warehouse.open import open_warehouse
from common.warehouse.warehouse import Warehouse
from local_stack import ports
from pipeline_service.bootstrap import wired
from pipeline_service.settings import PipelineServiceSettings
from pipeline_service.temporal_connection import open_client
from tenant_service.bootstrap import tenant_server
from tenant_service.settings import TenantServiceSettings
from tests.chaos.fate import Fate, FatefulWarehouse
from tests.forking import forking, write_to

START_SECONDS, END_SECONDS = 60.0, 60.0
PAUSE_SECONDS = 0.02

Serve = Callable[[dict[str, Any], Fate, Path], None]
"""What the process does: takes the settings, its fate and where its output goes."""


class Replica:
    """One process at one port, which outlives it: of PipelineService, unless `serve` says otherwise. `settings` go before the
    environment."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], *, port: int = 0, serve: Serve | None = None) -> None:
        self.port = port or ports.assign({"replica": 0})["replica"]
        self.address = f"{ports.HOST}:{self.port}"
        self._log = folder / f"replica-{self.port}.log"
        self._settings = {**settings, "listen_address": self.address}
        self._serve = serve or serve_pipelines
        self._process: ForkServerProcess | None = None

    async def start(self, fate: Fate | None = None) -> None:
        """Start, and return once it listens and its worker, if it has one, is at work."""
        before = self._said("listening")
        self._process = forking.Process(
            target=self._serve, args=(self._settings, fate or Fate(), self._log), daemon=True
        )
        self._process.start()
        async with asyncio.timeout(START_SECONDS):
            while self._said("listening") == before:
                assert self._process.is_alive(), self._log.read_text()
                await asyncio.sleep(PAUSE_SECONDS)

    async def ended(self, seconds: float | None = END_SECONDS) -> int:
        """Wait for the end of the process: its exit status, negative for a signal. Raises TimeoutError."""
        assert self._process is not None
        async with asyncio.timeout(seconds):
            while (status := self._process.exitcode) is None:  # noqa: ASYNC110 - a process is no event
                await asyncio.sleep(PAUSE_SECONDS)
        return status

    def status(self) -> int | None:
        """The process's exit status, negative for a signal; None while it runs."""
        assert self._process is not None
        return self._process.exitcode

    def terminate(self) -> None:
        """SIGTERM."""
        assert self._process is not None
        self._process.terminate()

    async def stop(self) -> None:
        """End the process, if it runs, without grace."""
        if self._process is not None and self._process.exitcode is None:
            self._process.kill()
            await self.ended()

    def _said(self, event: str) -> int:
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return sum(json.loads(line).get("event") == event for line in lines if line.startswith("{"))


def serve_pipelines(settings: dict[str, Any], fate: Fate, log: Path) -> None:
    """PipelineService, on a warehouse that its fate lies in."""
    write_to(log)

    @asynccontextmanager
    async def server(read: PipelineServiceSettings) -> AsyncIterator[Server]:
        warehouse, cipher = open_warehouse(read), connect(read)
        fateful = cast("Warehouse", FatefulWarehouse(warehouse, fate))
        client = await open_client(read)
        async with wired(read, warehouse=fateful, cipher=cipher, client=client, clock=SystemClock()) as wired_server:
            yield wired_server
        await cipher.close()
        await warehouse.close()

    run_service(PipelineServiceSettings, server, **settings)


def serve_tenants(settings: dict[str, Any], _fate: Fate, log: Path) -> None:
    """TenantService, which nothing happens to."""
    write_to(log)
    run_service(TenantServiceSettings, tenant_server, **settings)
