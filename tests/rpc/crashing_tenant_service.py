"""TenantService that dies by kill -9 right after its nth change to the warehouse: `python -m tests.rpc.crashing_tenant_service N`.

Settings come from the environment, as for the real one.
"""

import asyncio
import os
import signal
import sys
from typing import Any

import grpc

from common import logs
from common.clock import SystemClock
from common.encryption.kms import connect
from common.rpc.server import serve_until_signalled
from common.settings import load
from common.warehouse.settings import open_warehouse
from common.warehouse.warehouse import Warehouse
from tenant_service.bootstrap import wire
from tenant_service.pipeline_client import PipelineClient
from tenant_service.settings import TenantServiceSettings

CHANGES = frozenset({"create_dataset", "create_table", "submit", "set_labels"})


class Crashing:
    """A warehouse whose nth change is this process's last act."""

    def __init__(self, warehouse: Warehouse, changes: int) -> None:
        self._warehouse = warehouse
        self._left = changes

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._warehouse, name)
        if name not in CHANGES:
            return method

        async def change(*args: Any, **kwargs: Any) -> Any:
            result = await method(*args, **kwargs)
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return change


async def main(changes: int) -> None:
    settings = load(TenantServiceSettings)
    logs.configure(output="json")
    warehouse: Any = Crashing(open_warehouse(settings), changes)
    async with grpc.aio.insecure_channel(settings.pipeline_service_address) as channel:
        runner = PipelineClient(channel)
        server = wire(settings, warehouse=warehouse, cipher=connect(settings), runner=runner, clock=SystemClock())
        await server.start()
        print(server.port, flush=True)
        await serve_until_signalled(server)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
