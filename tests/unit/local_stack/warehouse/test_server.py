"""The server in a process of its own, through the adapter: what it keeps when it is killed, whom it serves, how much it holds."""

import asyncio
import random
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from common.errors import JobAborted, ObjectExists, ObjectNotFound, Terminal, Transient
from common.secret import Secret
from common.warehouse.columns import Column, ColumnType
from common.warehouse.local import LocalWarehouse
from common.warehouse.local_wire import Upload
from common.warehouse.warehouse import Parameter, QueryJob, Statement, TableRef, TableSpec, Value
from local_stack.warehouse.engine import Engine
from local_stack.warehouse.stop import WATCHER
from local_stack.warehouse.upload import upload
from tests.unit.local_stack.warehouse.conftest import EVENTS, SPEC, TOKEN, Connect, Start, insert, numbers

NUMBERS = TableRef("acme", "numbers")
ENDLESS = "SELECT COUNT(*) FROM acme.numbers AS a CROSS JOIN acme.numbers AS b WHERE MOD(a.n * b.n + a.n, 7) = 8"


async def prepare(warehouse: LocalWarehouse) -> None:
    await warehouse.create_dataset("acme", location="US", labels={"owner": "us"})
    await warehouse.create_table(EVENTS, SPEC)


async def ids(warehouse: LocalWarehouse) -> list[object]:
    return [row["id"] for row in await warehouse.list_rows(EVENTS)]


async def test_no_acknowledged_write_is_lost_by_kill_9(start: Start, connect: Connect) -> None:
    chance = random.Random(20251115)
    server = start()
    await prepare(connect(server.address))
    acknowledged: list[int] = []
    target = 0

    async def write(warehouse: LocalWarehouse, first: int) -> None:
        for number in range(first, first + 1000):
            await warehouse.submit(insert(f"job-{number}", number))
            await warehouse.wait(f"job-{number}", timeout_seconds=10)
            acknowledged.append(number)
            if len(acknowledged) >= target:
                enough.set()

    for life in range(3):
        warehouse = connect(server.address)
        target, enough = len(acknowledged) + chance.randint(10, 30), asyncio.Event()
        writers = [asyncio.create_task(write(warehouse, life * 10_000 + w * 1000)) for w in range(4)]
        await enough.wait()
        server.kill()
        for outcome in await asyncio.gather(*writers, return_exceptions=True):
            assert isinstance(outcome, Transient)
        server = start()
        found = await ids(connect(server.address))
        assert len(found) == len(set(found))
        assert set(acknowledged) <= set(found)

    warehouse = connect(server.address)
    with pytest.raises(ObjectExists):
        await warehouse.submit(insert(f"job-{acknowledged[-1]}", 0))


async def test_a_job_lost_in_a_crash_is_unknown_and_can_be_submitted_again(start: Start, connect: Connect) -> None:
    server = start()
    warehouse = connect(server.address)
    await prepare(warehouse)
    spec = TableSpec((Column("n", "INT64"),))
    await asyncio.to_thread(upload, server.address, TOKEN, NUMBERS, spec, numbers(200_000))
    await warehouse.submit(QueryJob("lost", Statement(f"INSERT INTO acme.events (id) {ENDLESS}")))
    with pytest.raises(ObjectExists):
        await warehouse.submit(insert("lost", 1))
    server.kill()
    again = connect(start().address)
    with pytest.raises(ObjectNotFound):
        await again.wait("lost", timeout_seconds=1)
    await again.submit(insert("lost", 1))
    assert (await again.wait("lost", timeout_seconds=10)).rows == 1
    assert await ids(again) == [1]


async def test_a_client_finds_a_restarted_server_again(start: Start, connect: Connect) -> None:
    server = start()
    warehouse = connect(server.address)
    await prepare(warehouse)
    server.kill()
    before = time.monotonic()
    with pytest.raises(Transient):
        await warehouse.get_dataset("acme")
    assert time.monotonic() - before < 2
    start("--port", server.address.split(":")[1])
    async with asyncio.timeout(5):
        while True:
            try:
                assert (await warehouse.get_dataset("acme")).labels == {"owner": "us"}
                return
            except Transient:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("wrong", ["", "the-token-of-this-tes", "the-token-of-this-test2"])
async def test_no_call_is_served_without_the_token(address: str, connect: Connect, wrong: str) -> None:
    warehouse = connect(address, Secret(wrong))
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: warehouse.get_dataset("acme"),
        lambda: warehouse.list_rows(EVENTS),
        lambda: warehouse.read(Statement("SELECT 1")),
        lambda: warehouse.submit(insert("a", 1)),
        lambda: asyncio.to_thread(upload, address, Secret(wrong), EVENTS, SPEC, numbers(1)),
    ]
    for call in calls:
        with pytest.raises(Terminal) as refusal:
            await call()
        assert refusal.value.reason == "DEPENDENCY_REFUSED"


def test_plaintext_beyond_loopback_is_refused_unless_asked_for() -> None:
    with pytest.raises(ValueError, match="plaintext"):
        LocalWarehouse("192.0.2.1:1", TOKEN)
    LocalWarehouse("192.0.2.1:1", TOKEN, allow_plaintext=True)


async def test_a_million_rows_stream_in_bounded_memory(start: Start, connect: Connect) -> None:
    server = start()
    warehouse = connect(server.address)
    await prepare(warehouse)
    spec = TableSpec((Column("n", "INT64"),))
    await asyncio.to_thread(upload, server.address, TOKEN, NUMBERS, spec, numbers(1_000_000))
    sql = "SELECT n, CONCAT('a text of some length that makes rows wide ', CAST(n AS STRING)) AS s FROM acme.numbers"
    stream = await warehouse.read(Statement(sql), page_size=2000)
    assert [column.type for column in stream.columns] == ["INT64", "STRING"]
    assert stream.bytes_processed == 8_000_000
    reader, writer = psutil.Process(), psutil.Process(server.process.pid)
    before = reader.memory_info().rss, writer.memory_info().rss
    peak, count = [0, 0], 0
    async for page in stream:
        count += len(page)
        assert len(page) <= 2000
        if count % 100_000 == 0:
            peak = [max(peak[0], reader.memory_info().rss), max(peak[1], writer.memory_info().rss)]
    assert count == 1_000_000
    assert peak[0] - before[0] < 64 * 2**20
    assert peak[1] - before[1] < 96 * 2**20


async def test_an_abandoned_read_stops_the_query(engine: Engine, address: str, connect: Connect) -> None:
    warehouse = connect(address)
    stream = await warehouse.read(
        Statement("SELECT x, y FROM UNNEST(GENERATE_ARRAY(1, 5000)) x, UNNEST(GENERATE_ARRAY(1, 5000)) y")
    )
    assert len(await anext(aiter(stream))) == 1000
    [watcher] = [thread for thread in threading.enumerate() if thread.name == WATCHER]
    await stream.close()
    await stream.close()
    await asyncio.to_thread(watcher.join, 20)
    assert not watcher.is_alive()


async def test_an_error_in_mid_stream_is_the_ports(address: str, connect: Connect) -> None:
    sql = "SELECT 1 / (n - 499999) AS x FROM UNNEST(GENERATE_ARRAY(1, 500000)) AS n"
    stream = await connect(address).read(Statement(sql))
    with pytest.raises(Terminal, match="division by zero"):
        async for _ in stream:
            pass


async def test_values_keep_their_types_on_the_way_and_back(address: str, connect: Connect) -> None:
    at = datetime(2025, 1, 1, 12, tzinfo=UTC)
    values: dict[str, tuple[ColumnType, Value]] = {
        "n": ("NUMERIC", Decimal("1.123456789")),
        "f": ("FLOAT64", 0.1),
        "at": ("TIMESTAMP", at),
        "day": ("DATE", at.date()),
        "raw": ("BYTES", b"\x00\xff"),
        "doc": ("JSON", '{"a":1}'),
        "none": ("STRING", None),
    }
    parameters = [Parameter(name, kind, value) for name, (kind, value) in values.items()]
    many = Parameter("many", "BYTES", [b"\xff"], array=True)
    sql = f"SELECT {', '.join(f'@{name} AS `{name}`' for name in values)}, @many AS many, STRUCT(@n AS x) AS r"
    stream = await connect(address).read(Statement(sql, (*parameters, many)))
    [page] = [page async for page in stream]
    expected = {name: value for name, (_, value) in values.items()}
    assert page == [{**expected, "many": [b"\xff"], "r": {"x": Decimal("1.123456789")}}]


async def test_an_array_that_was_not_given_is_empty(address: str, connect: Connect) -> None:
    inner = Column("inner", "RECORD", fields=(Column("tags", "STRING", "REPEATED"),))
    ref, spec = (
        TableRef("acme", "arrays"),
        TableSpec((Column("id", "INT64"), Column("tags", "STRING", "REPEATED"), inner)),
    )
    rows = pa.table({"id": [1, 2], "inner": [{"tags": None}, None]}).to_reader()
    await asyncio.to_thread(upload, address, TOKEN, ref, spec, rows)
    assert list(await connect(address).list_rows(ref)) == [
        {"id": 1, "tags": [], "inner": {"tags": []}},
        {"id": 2, "tags": [], "inner": None},
    ]


async def test_an_upload_that_fails_leaves_the_table_as_it_was(address: str, connect: Connect) -> None:
    with pytest.raises(Terminal):
        await asyncio.to_thread(upload, address, TOKEN, EVENTS, SPEC, pa.table({"nothing": [1]}).to_reader())
    assert (await connect(address).get_table(EVENTS)).spec == SPEC


async def test_a_wait_that_is_too_short_says_nothing_of_the_job(engine: Engine, address: str, connect: Connect) -> None:
    engine.upload(Upload(NUMBERS, TableSpec((Column("n", "INT64"),))), numbers(200_000))
    warehouse = connect(address)
    await warehouse.submit(QueryJob("long", Statement(ENDLESS)))
    with pytest.raises(Transient) as still_running:
        await warehouse.wait("long", timeout_seconds=0.05)
    assert not isinstance(still_running.value, JobAborted)
    await warehouse.cancel("long")
    with pytest.raises(Terminal, match="cancelled"):
        await warehouse.wait("long", timeout_seconds=20)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_with_status_0_also_while_a_job_runs(
    start: Start, connect: Connect, number: signal.Signals
) -> None:
    server = start()
    warehouse = connect(server.address)
    await prepare(warehouse)
    spec = TableSpec((Column("n", "INT64"),))
    await asyncio.to_thread(upload, server.address, TOKEN, NUMBERS, spec, numbers(200_000))
    await warehouse.submit(QueryJob("long", Statement(ENDLESS)))
    server.process.send_signal(number)
    assert await asyncio.to_thread(server.process.wait, 20) == 0


def test_a_second_server_on_the_same_file_does_not_start_and_the_file_is_its_owners_alone(
    start: Start, tmp_path: Path
) -> None:
    start()
    second = start()
    assert second.address == ""
    assert second.process.wait(20) != 0
    for path in [tmp_path / "data", *(tmp_path / "data").iterdir()]:
        assert path.stat().st_mode & 0o077 == 0


def test_a_server_does_not_start_on_a_port_in_use(start: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = start("--port", str(taken.getsockname()[1]))
        assert server.process.wait(20) != 0


def test_a_token_that_others_may_read_is_refused(start: Start, token_file: Path) -> None:
    token_file.chmod(0o644)
    assert start().process.wait(20) != 0
