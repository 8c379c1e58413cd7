"""Warehouses that one test has to itself: for calls over all tenants, which would meet those of every other test."""

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from common.warehouse.warehouse import Warehouse
from tests.stubs.bigquery import BigQueryStub
from tests.stubs.bigquery import connect as bigquery
from tests.warehouses import LocalServer


@asynccontextmanager
async def own_warehouse(kind: str, folder: Path) -> AsyncIterator[Callable[[], Warehouse]]:
    """Start one of tests.warehouses.KINDS; yields what makes adapters, each with connections of its own, as another process has them."""
    made: list[Warehouse] = []
    with ExitStack() as stack:
        if kind == "local":
            (folder / "warehouse").mkdir()
            server = LocalServer(folder / "warehouse")
            server.start()
            stack.callback(server.stop)
            connect: Callable[[], Warehouse] = server.connect
        else:
            stub = BigQueryStub("local")
            stack.callback(stub.close)
            connect = partial(bigquery, stub.address, project="local")

        def new() -> Warehouse:
            made.append(connect())
            return made[-1]

        try:
            yield new
        finally:
            for warehouse in made:
                await warehouse.close()
