"""The engine in this process, and the server in one of its own."""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from common.clock import SystemClock
from common.secret import Secret
from common.warehouse.columns import Column
from common.warehouse.local import LocalWarehouse
from common.warehouse.local_wire import Read
from common.warehouse.warehouse import Job, JobResult, Parameter, QueryJob, Statement, TableRef, TableSpec
from local_stack.warehouse.engine import Engine
from local_stack.warehouse.server import WarehouseServer

TOKEN = Secret("the-token-of-this-test")
EVENTS = TableRef("acme", "events")
SPEC = TableSpec((Column("day", "DATE"), Column("id", "INT64"), Column("amount", "NUMERIC")), partition_column="day")


@dataclass(frozen=True)
class Server:
    """A running server process; `address` is empty where it did not start."""

    process: subprocess.Popen[str]
    address: str

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.process.kill()
        self.process.wait()


Start = Callable[..., Server]
Connect = Callable[..., LocalWarehouse]


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.touch(0o600)
    path.write_text(TOKEN.reveal())
    return path


@pytest.fixture
def start(tmp_path: Path, token_file: Path) -> Iterator[Start]:
    """Start servers, all on one data folder unless told otherwise; they die with the test."""
    servers: list[Server] = []

    def run(*arguments: str) -> Server:
        command = [sys.executable, "-m", "local_stack.warehouse", "--data-dir", str(tmp_path / "data")]
        process = subprocess.Popen(
            [*command, "--token-file", str(token_file), *arguments], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        server = Server(process, process.stdout.readline().removeprefix("listening on ").strip())
        servers.append(server)
        return server

    yield run
    for server in servers:
        server.kill()
        assert server.process.stdout is not None
        server.process.stdout.close()


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Adapters, closed with the test."""
    opened: list[LocalWarehouse] = []

    def client(address: str, token: Secret = TOKEN) -> LocalWarehouse:
        opened.append(LocalWarehouse(address, token))
        return opened[-1]

    yield client
    for warehouse in opened:
        await warehouse.close()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = Engine(tmp_path / "engine", SystemClock())
    opened.catalog.create_dataset("acme", location="US", labels={})
    opened.catalog.create_table(EVENTS, SPEC)
    yield opened
    opened.close()


@pytest.fixture
def address(engine: Engine) -> Iterator[str]:
    """The engine of this process, served."""
    server = WarehouseServer(engine, TOKEN)
    yield f"127.0.0.1:{server.port}"
    server.shutdown()


def insert(job_id: str, number: int) -> QueryJob:
    """A job that adds one row to `acme.events`."""
    sql = "INSERT INTO acme.events (day, id, amount) VALUES (DATE '2025-01-01', @id, 1.5)"
    return QueryJob(job_id, Statement(sql, (Parameter("id", "INT64", number),)))


def numbers(count: int) -> pa.RecordBatchReader:
    """`count` rows of one column `n`, batch by batch."""
    schema = pa.schema([("n", pa.int64())])
    step = 50_000
    batches = (
        pa.record_batch({"n": pa.array(range(start, min(start + step, count)))}, schema=schema)
        for start in range(0, count, step)
    )
    return pa.RecordBatchReader.from_batches(schema, batches)


def rows(engine: Engine, ref: TableRef = EVENTS) -> list[dict[str, Any]]:
    """All rows of a table."""
    return [row for batch in engine.list_rows(ref) for row in batch.to_pylist()]


def done(engine: Engine, job: Job) -> JobResult:
    """Run a job to its end."""
    engine.jobs.submit(job)
    result = engine.jobs.wait(job.job_id, 20)
    assert result is not None
    return result


def read(engine: Engine, sql: str, **limits: Any) -> list[dict[str, Any]]:
    """The rows of a query; `max_bytes_billed` and `timeout` limit it."""
    _, reading = engine.read(Read(Statement(sql), 1000, limits.get("max_bytes_billed"), limits.get("timeout", 20.0)))
    return [row for batch in reading for row in batch.to_pylist()]
