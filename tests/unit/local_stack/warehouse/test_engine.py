"""The local warehouse in this process: datasets, tables, jobs and what they may do."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from common.clock import SystemClock
from common.errors import JobAborted, ObjectExists, ObjectNotFound, PreconditionLost, Terminal
from common.warehouse.columns import Column
from common.warehouse.local_wire import Upload
from common.warehouse.warehouse import (
    Destination,
    JobResult,
    Parameter,
    QueryJob,
    ReplaceJob,
    Statement,
    TableRef,
    TableSpec,
)
from local_stack.warehouse.engine import Engine
from tests.unit.local_stack.warehouse.conftest import EVENTS, SPEC, done, insert, read, rows

STAGE = TableRef("acme", "_stage_1")
DAY = date(2025, 1, 1)


def stage(engine: Engine, job_id: str, sql: str, **destination: Any) -> JobResult:
    return done(engine, QueryJob(job_id, Statement(sql), Destination(STAGE, "day", **destination)))


def test_of_many_concurrent_creations_of_a_dataset_one_succeeds(engine: Engine) -> None:
    def create(_: int) -> bool:
        try:
            engine.catalog.create_dataset("fresh", location="US", labels={})
        except ObjectExists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(create, range(8))) == 1


@pytest.mark.parametrize("name", ["main", "_convergence", "INFORMATION_SCHEMA", "", "a.b", "é"])
def test_a_dataset_takes_no_name_that_means_something_to_duckdb(engine: Engine, name: str) -> None:
    with pytest.raises(Terminal):
        engine.catalog.create_dataset(name, location="US", labels={})


def test_labels_change_only_under_the_etag_that_was_read(engine: Engine) -> None:
    first = engine.catalog.get_dataset("acme")
    second = engine.catalog.set_labels("acme", first.etag, {"state": "ready"})
    assert second.etag != first.etag
    with pytest.raises(PreconditionLost):
        engine.catalog.set_labels("acme", first.etag, {"state": "lost"})
    assert [dataset.labels for dataset in engine.catalog.list_datasets("state")] == [{"state": "ready"}]
    assert engine.catalog.list_datasets("other") == []


def test_a_table_comes_back_as_it_was_described(engine: Engine) -> None:
    fields = (Column("name", "STRING"), Column("amounts", "NUMERIC", "REPEATED"))
    columns = (
        Column("at", "TIMESTAMP", "REQUIRED"),
        Column("credits", "RECORD", "REPEATED", fields),
        Column("doc", "JSON"),
    )
    spec = TableSpec(columns, "at", ("doc",), "described")
    engine.catalog.create_table(TableRef("acme", "nested", "local"), spec)
    found = engine.catalog.get_table(TableRef("acme", "nested"))
    assert (found.spec, found.row_count, found.expire_time) == (spec, 0, None)
    with pytest.raises(ObjectExists):
        engine.catalog.create_table(TableRef("acme", "nested"), spec)


@pytest.mark.parametrize(
    "ref", [TableRef("acme", "none"), TableRef("none", "events"), TableRef("acme", "events", "other")]
)
def test_what_does_not_exist_is_not_found(engine: Engine, ref: TableRef) -> None:
    with pytest.raises(ObjectNotFound):
        engine.catalog.get_table(ref)
    with pytest.raises(Terminal):
        read(engine, f"SELECT * FROM `{ref}`")


def test_our_own_records_are_no_dataset(engine: Engine) -> None:
    with pytest.raises(Terminal):
        read(engine, "SELECT * FROM _convergence.jobs")
    with pytest.raises(Terminal):
        done(engine, QueryJob("a", Statement("DELETE FROM _convergence.jobs WHERE TRUE")))


def test_dml_says_how_many_rows_it_changed(engine: Engine) -> None:
    assert done(engine, insert("a", 1)).rows == 1
    assert done(engine, insert("b", 2)).rows == 1
    merge = QueryJob(
        "c",
        Statement(
            "MERGE acme.events T USING (SELECT 1 AS id) S ON T.id = S.id WHEN MATCHED THEN UPDATE SET amount = 2"
        ),
    )
    assert done(engine, merge).rows == 1
    assert done(engine, QueryJob("d", Statement("DELETE FROM acme.events WHERE id > 5"))).rows == 0
    assert sorted((row["id"], row["amount"]) for row in rows(engine)) == [(1, Decimal(2)), (2, Decimal("1.5"))]


def test_a_repeated_job_id_is_refused_also_after_a_failure(engine: Engine) -> None:
    done(engine, insert("good", 1))
    with pytest.raises(Terminal):
        done(engine, QueryJob("bad", Statement("SELECT nothing FROM acme.events")))
    for job_id in ("good", "bad"):
        with pytest.raises(ObjectExists):
            engine.jobs.submit(insert(job_id, 2))
    assert len(rows(engine)) == 1


def test_a_failed_job_keeps_its_reason_and_shows_no_data(engine: Engine) -> None:
    job = QueryJob("a", Statement("SELECT CAST(@v AS INT64) AS n", (Parameter("v", "STRING", "s3cret"),)))
    with pytest.raises(Terminal):
        done(engine, job)
    with pytest.raises(Terminal) as failure:
        engine.jobs.wait("a", 0)
    assert "s3cret" not in str(failure.value)


def test_an_unknown_job_is_not_found(engine: Engine) -> None:
    engine.jobs.cancel("never")
    with pytest.raises(ObjectNotFound):
        engine.jobs.wait("never", 0)


def test_a_query_replaces_its_destination_also_when_it_reads_it(engine: Engine) -> None:
    expire_time = datetime.now(UTC) + timedelta(hours=1)
    assert stage(engine, "a", "SELECT DATE '2025-01-01' AS day, 1 AS n", expire_time=expire_time).rows == 1
    assert stage(engine, "b", "SELECT day, n + x AS n FROM acme._stage_1, UNNEST([1, 2]) AS x").rows == 2
    table = engine.catalog.get_table(STAGE)
    assert table.spec == TableSpec((Column("day", "DATE"), Column("n", "INT64")), "day")
    assert table.expire_time is None
    assert sorted(row["n"] for row in rows(engine, STAGE)) == [2, 3]


def test_types_of_a_result_are_googlesqls(engine: Engine) -> None:
    stage(
        engine,
        "a",
        "SELECT DATE '2025-01-01' AS day, COUNTIF(TRUE) AS i, 1.5 AS f, SUM(CAST(1 AS NUMERIC)) AS n, [STRUCT(1 AS a, JSON '1' AS j)] AS r",
    )
    record = Column("r", "RECORD", "REPEATED", (Column("a", "INT64"), Column("j", "JSON")))
    expected = (Column("day", "DATE"), Column("i", "INT64"), Column("f", "FLOAT64"), Column("n", "NUMERIC"), record)
    assert engine.catalog.get_table(STAGE).spec.columns == expected


def test_an_expired_table_is_gone(engine: Engine) -> None:
    stage(engine, "a", "SELECT DATE '2025-01-01' AS day", expire_time=datetime.now(UTC) - timedelta(seconds=1))
    with pytest.raises(ObjectNotFound):
        engine.catalog.get_table(STAGE)
    assert STAGE not in engine.catalog.list_tables(STAGE.dataset)
    assert engine.catalog.sweep() == 1
    assert engine.catalog.sweep() == 0


def test_replacing_a_day_touches_no_other(engine: Engine) -> None:
    for job_id, day in (("a", "2025-01-01"), ("b", "2025-01-02")):
        sql = f"INSERT INTO acme.events (day, id, amount) VALUES (DATE '{day}', 1, 1)"
        done(engine, QueryJob(job_id, Statement(sql)))
    staged = "SELECT DATE '2025-01-01' AS day, id, CAST(9 AS NUMERIC) AS amount FROM UNNEST([7, 8]) AS id"
    stage(engine, "c", staged)
    assert done(engine, ReplaceJob("d", STAGE, EVENTS, DAY)).rows == 2
    assert sorted((row["day"].day, row["id"]) for row in rows(engine)) == [(1, 7), (1, 8), (2, 1)]
    stage(engine, "e", f"SELECT * FROM ({staged}) WHERE FALSE")
    assert done(engine, ReplaceJob("f", STAGE, EVENTS, DAY)).rows == 0
    assert [row["day"].day for row in rows(engine)] == [2]


def test_a_day_of_a_timestamp_is_a_day_in_utc(engine: Engine) -> None:
    sql = "SELECT TIMESTAMP('2025-01-01 23:59:59.999999') AS day, 1 AS n UNION ALL SELECT TIMESTAMP('2025-01-01 00:00:00'), 2"
    stage(engine, "a", sql)
    published = TableRef("acme", "published")
    assert done(engine, ReplaceJob("b", STAGE, published, DAY)).rows == 2
    assert done(engine, ReplaceJob("c", STAGE, published, DAY)).rows == 2
    assert len(rows(engine, published)) == 2
    assert engine.catalog.get_table(published).spec.partition_column == "day"


@pytest.mark.parametrize("outside", ["DATE '2025-01-02'", "CAST(NULL AS DATE)"])
def test_rows_outside_the_day_are_refused_before_anything_changes(engine: Engine, outside: str) -> None:
    done(engine, insert("a", 1))
    stage(engine, "b", f"SELECT {outside} AS day, 2 AS id, CAST(1 AS NUMERIC) AS amount")
    with pytest.raises(Terminal) as refusal:
        done(engine, ReplaceJob("c", STAGE, EVENTS, DAY))
    assert refusal.value.reason == "ROWS_OUTSIDE_PARTITION"
    assert [row["id"] for row in rows(engine)] == [1]


@pytest.mark.parametrize(
    "columns", ["1 AS id", "1 AS id, 'x' AS amount", "1 AS id, CAST(1 AS NUMERIC) AS amount, 1 AS more"]
)
def test_other_columns_are_refused_before_anything_changes(engine: Engine, columns: str) -> None:
    done(engine, insert("a", 1))
    stage(engine, "b", f"SELECT DATE '2025-01-01' AS day, {columns}")
    with pytest.raises(Terminal):
        done(engine, ReplaceJob("c", STAGE, EVENTS, DAY))
    assert len(rows(engine)) == 1


def test_without_a_day_the_whole_table_is_replaced(engine: Engine) -> None:
    done(engine, insert("a", 1))
    stage(engine, "b", "SELECT DATE '2030-01-01' AS day, 5 AS id, CAST(1 AS NUMERIC) AS amount")
    assert done(engine, ReplaceJob("c", STAGE, EVENTS)).rows == 1
    assert [row["id"] for row in rows(engine)] == [5]


def test_concurrent_first_replaces_of_one_day_end_with_one_content(engine: Engine) -> None:
    def replace(number: int) -> bool:
        staged = TableRef("acme", f"_stage_{number}_x")
        sql = f"SELECT DATE '2025-01-01' AS day, {number} AS id FROM UNNEST(GENERATE_ARRAY(1, 100))"
        done(engine, QueryJob(f"s{number}", Statement(sql), Destination(staged, "day")))
        try:
            done(engine, ReplaceJob(f"r{number}", staged, TableRef("acme", "daily"), DAY))
        except JobAborted:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert any(pool.map(replace, range(8)))
    found = [row["id"] for row in rows(engine, TableRef("acme", "daily"))]
    assert len(found) == 100
    assert len(set(found)) == 1


def test_a_lost_update_is_worth_another_attempt(engine: Engine) -> None:
    done(engine, insert("a", 1))
    with engine._database.transaction() as cursor:
        cursor.execute("UPDATE acme.events SET amount = 2")
        with pytest.raises(JobAborted):
            done(engine, QueryJob("b", Statement("UPDATE acme.events SET amount = 3 WHERE TRUE")))
    assert done(engine, QueryJob("c", Statement("UPDATE acme.events SET amount = 3 WHERE TRUE"))).rows == 1


def test_uploaded_rows_replace_the_table_and_keep_their_nesting(engine: Engine) -> None:
    fields = (Column("key", "STRING"), Column("value", "STRING"))
    columns = (
        Column("id", "INT64"),
        Column("labels", "RECORD", "REPEATED", fields),
        Column("service", "RECORD", fields=fields),
    )
    ref, spec = TableRef("acme", "export"), TableSpec(columns)
    for count in (200_000, 3):
        data = pa.table(
            {
                "service": [{"key": "k", "value": None}] * count,
                "labels": [[{"key": "a", "value": "b"}]] * count,
                "id": range(count),
            }
        )
        assert engine.upload(Upload(ref, spec), data.to_reader()) == count
    assert rows(engine, ref)[0] == {
        "id": 0,
        "labels": [{"key": "a", "value": "b"}],
        "service": {"key": "k", "value": None},
    }
    assert engine.catalog.get_table(ref).row_count == 3


def test_everything_is_there_again_after_a_restart(engine: Engine, tmp_path: Path) -> None:
    done(engine, insert("a", 1))
    engine.close()
    again = Engine(tmp_path / "engine", SystemClock())
    try:
        assert again.catalog.get_table(EVENTS).spec == SPEC
        assert again.jobs.wait("a", 0) == JobResult("a", 1, 0, 10 * 2**20)
        with pytest.raises(ObjectExists):
            again.jobs.submit(insert("a", 1))
    finally:
        again.close()
