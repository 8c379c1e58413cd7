"""TenantService that dies by kill -9 right after its first change to the warehouse.

Settings come from the environment, as for the real one. Records in the audit log, which every call writes anew, are not counted.
"""

import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

from common.clock import SystemClock
from common.encryption.kms import connect
from common.rpc.run_service import run_service
from common.rpc.server import Server
from common.warehouse.open import open_warehouse
from common.warehouse.warehouse import Warehouse
from tenant_service.bootstrap import wire
from tenant_service.pipeline_client import PipelineClient
from tenant_service.settings import TenantServiceSettings
from tests.forking import write_to

CHANGES = frozenset({"create_dataset", "create_table", "submit", "set_labels", "delete_table"})


class Crashing:
    """A warehouse whose first change is this process's last act."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._warehouse, name)
        if name not in CHANGES:
            return method

        async def change(*args: Any, **kwargs: Any) -> Any:
            result = await method(*args, **kwargs)
            if name != "submit" or not args[0].job_id.startswith("audit_"):
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return change


@asynccontextmanager
async def crashing_server(settings: TenantServiceSettings) -> AsyncIterator[Server]:
    warehouse: Any = Crashing(open_warehouse(settings))
    async with grpc.aio.insecure_channel(settings.pipeline_service_address) as channel:
        runner = PipelineClient(lambda: channel, bound_seconds=settings.auth_bound_seconds)
        yield wire(settings, warehouse=warehouse, cipher=connect(settings), runner=runner, clock=SystemClock())


def serve_and_crash(environment: Mapping[str, str], log: Path) -> None:
    """All that a process does; what it prints goes to a file."""
    write_to(log)
    os.environ.update(environment)
    run_service(TenantServiceSettings, crashing_server)
