"""What a statement may not take from the engine: time without end, other calls' turn, more bytes than allowed, files."""

import threading

import pytest

from common.errors import Terminal, WarehouseError
from common.warehouse.columns import Column
from common.warehouse.local_wire import Read, Upload
from common.warehouse.warehouse import QueryJob, Statement, TableRef, TableSpec
from local_stack.warehouse.engine import Engine
from tests.unit.local_stack.warehouse.conftest import done, insert, numbers, read, rows

ENDLESS = "SELECT COUNT(*) AS n FROM acme.numbers AS a CROSS JOIN acme.numbers AS b WHERE MOD(a.n * b.n + a.n, 7) = 8"


@pytest.fixture
def endless(engine: Engine) -> Engine:
    """An engine with so many numbers that `ENDLESS` does not end."""
    engine.upload(Upload(TableRef("acme", "numbers"), TableSpec((Column("n", "INT64"),))), numbers(200_000))
    return engine


def test_a_job_is_cancelled_while_it_runs(endless: Engine) -> None:
    endless.jobs.submit(QueryJob("a", Statement(ENDLESS)))
    assert endless.jobs.wait("a", 0.2) is None
    endless.jobs.cancel("a")
    with pytest.raises(Terminal, match="cancelled"):
        endless.jobs.wait("a", 20)


def test_a_job_ends_at_its_timeout(endless: Engine) -> None:
    with pytest.raises(Terminal) as failure:
        done(endless, QueryJob("a", Statement(ENDLESS), timeout_seconds=0.2))
    assert failure.value.reason == "STEP_TIMEOUT"


def test_a_read_ends_at_its_timeout(endless: Engine) -> None:
    with pytest.raises(Terminal) as failure:
        read(endless, ENDLESS, timeout=0.2)
    assert failure.value.reason == "STEP_TIMEOUT"


def test_readers_and_writers_do_not_wait_for_a_long_write(endless: Engine) -> None:
    endless.jobs.submit(QueryJob("long", Statement(f"INSERT INTO acme.events (id) {ENDLESS.replace(' AS n', '')}")))
    try:
        for number in range(5):
            done(endless, insert(f"short{number}", number))
            assert len(rows(endless)) == number + 1
            assert len(endless.catalog.list_datasets("none")) == 0
        assert endless.jobs.wait("long", 0) is None
    finally:
        endless.jobs.cancel("long")


def test_a_read_that_is_dropped_frees_its_cursor(endless: Engine) -> None:
    before = threading.active_count()
    _, reading = endless.read(Read(Statement("SELECT n FROM acme.numbers"), 10, None, 60.0))
    next(reading)
    reading.close()
    reading.close()
    assert threading.active_count() <= before
    assert list(reading) == []


def test_a_limit_of_bytes_is_held_against_the_estimate(engine: Engine) -> None:
    job = QueryJob("a", Statement("SELECT * FROM acme.events"), max_bytes_billed=10 * 2**20 - 1)
    with pytest.raises(Terminal) as refusal:
        done(engine, job)
    assert refusal.value.reason == "BYTES_BILLED_LIMIT"
    done(engine, insert("b", 1))
    result = done(engine, QueryJob("c", Statement("SELECT * FROM acme.events"), max_bytes_billed=10 * 2**20))
    assert (result.bytes_processed, result.bytes_billed) == (8 + 8 + 16, 10 * 2**20)
    assert read(engine, "SELECT 1 AS n", max_bytes_billed=0) == [{"n": 1}]


@pytest.mark.parametrize(
    "sql", ["SELECT read_text('/etc/hostname')", "SELECT * FROM read_csv('/etc/passwd')", "SELECT * FROM '/etc/passwd'"]
)
def test_files_are_out_of_reach(engine: Engine, sql: str) -> None:
    with pytest.raises(WarehouseError):
        read(engine, sql)
    with pytest.raises(WarehouseError), engine._database.transaction() as cursor:
        cursor.execute(sql)


@pytest.mark.parametrize(
    "sql", ["ATTACH '/tmp/x.db'", "INSTALL httpfs", "SET enable_external_access = true", "COPY acme.events TO '/tmp/x'"]
)
def test_the_engine_itself_is_closed_in(engine: Engine, sql: str) -> None:
    with pytest.raises(WarehouseError), engine._database.transaction() as cursor:
        cursor.execute(sql)
