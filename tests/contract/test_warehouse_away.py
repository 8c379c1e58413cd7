"""A warehouse that is away: every method says so within seconds, as Transient."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import pytest

from common.errors import JobAborted, Transient
from common.secret import Secret
from common.warehouse.columns import Column
from common.warehouse.local import LocalWarehouse
from common.warehouse.warehouse import (
    Dataset,
    MergeJob,
    QueryJob,
    ReplaceJob,
    Statement,
    TableRef,
    TableSpec,
    Warehouse,
)
from tests.stubs.bigquery import connect

TABLE = TableRef("acme", "costs")
SELECT = Statement("SELECT 1 AS id")
WITHIN_SECONDS = 6.0


@pytest.fixture(params=["local", "bigquery"])
async def away(request: pytest.FixtureRequest) -> AsyncIterator[Warehouse]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # bound, so that nobody else listens there; not listening
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        adapters: dict[str, Callable[[], Warehouse]] = {
            "local": lambda: LocalWarehouse(address, token=Secret("token")),
            "bigquery": lambda: connect(f"http://{address}"),
        }
        warehouse = adapters[request.param]()
        yield warehouse
        await warehouse.close()


async def test_every_method_is_transient_within_seconds(away: Warehouse) -> None:
    dataset = Dataset("acme", "EU", {}, datetime.now(UTC), "etag")
    calls: dict[str, Awaitable[object]] = {
        "create_dataset": away.create_dataset("acme", location="EU", labels={}),
        "get_dataset": away.get_dataset("acme"),
        "set_labels": away.set_labels(dataset, {"state": "ready"}),
        "list_datasets": away.list_datasets(label="convergence"),
        "create_table": away.create_table(TABLE, TableSpec((Column("id", "INT64"),))),
        "get_table": away.get_table(TABLE),
        "list_tables": away.list_tables("acme"),
        "delete_table": away.delete_table(TABLE),
        "create_or_replace_view": away.create_or_replace_view(TABLE, "SELECT 1 AS id"),
        "list_rows": away.list_rows(TABLE),
        "submit": away.submit(QueryJob("job-1", SELECT)),
        "submit a replacement": away.submit(ReplaceJob("job-2", TABLE, TABLE)),
        "submit a merge": away.submit(MergeJob("job-3", TABLE, TABLE, ("id",))),
        "wait": away.wait("job-1", timeout_seconds=60),
        "cancel": away.cancel("job-1"),
        "read": away.read(SELECT),
        "estimate": away.estimate(SELECT),
    }
    async with asyncio.timeout(WITHIN_SECONDS):
        answers = await asyncio.gather(*calls.values(), return_exceptions=True)
    wrong = {name: repr(answer) for name, answer in zip(calls, answers, strict=True) if type(answer) is not Transient}
    assert wrong == {}, f"{JobAborted.__name__} would start another attempt"
