"""Merging rows by their keys: atomic, repeatable, and never two rows of one key."""

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import pytest

from common.clock import SystemClock
from common.errors import ObjectExists, ObjectNotFound, Terminal
from common.warehouse.attempts import run_once
from common.warehouse.columns import Column
from common.warehouse.warehouse import Destination, MergeJob, QueryJob, Row, Statement, TableRef, Warehouse
from tests.contract.work import finish, new_id, select

ONE_AND_TWO = "SELECT 1 AS id, 'a' AS name UNION ALL SELECT 2, 'b'"
TWO_AND_THREE = "SELECT 2 AS id, 'B' AS name UNION ALL SELECT 3, 'C'"


@dataclass(frozen=True)
class Services:
    """A published table of services by id, and the staging of rows for it."""

    warehouse: Warehouse
    dataset: str

    @property
    def table(self) -> TableRef:
        return TableRef(self.dataset, "services")

    async def stage(self, sql: str, partition_column: str | None = None, clustering: tuple[str, ...] = ()) -> TableRef:
        ref = TableRef(self.dataset, new_id("_stage").replace("-", "_"))
        destination = Destination(ref, partition_column, clustering, datetime.now(UTC) + timedelta(hours=1))
        await finish(self.warehouse, QueryJob(new_id("stage"), Statement(sql), destination))
        return ref

    def job(self, staged: TableRef, *keys: str, job_id: str = "") -> MergeJob:
        return MergeJob(job_id or new_id("merge"), staged, self.table, keys or ("id",))

    async def merge(self, sql: str, *keys: str) -> int:
        return (await finish(self.warehouse, self.job(await self.stage(sql), *keys))).rows

    async def merge_once(self, staged: TableRef) -> int:
        """Merge as a step does that may try often."""
        work = new_id("merge")
        result = await run_once(
            self.warehouse,
            lambda attempt: self.job(staged, job_id=f"{work}-{attempt}"),
            deadline_seconds=60,
            max_attempts=20,
            clock=SystemClock(),
        )
        return result.rows

    async def rows(self) -> list[Row]:
        return await select(self.warehouse, f"SELECT * FROM `{self.table}` ORDER BY id")

    async def names(self) -> list[tuple[object, object]]:
        return [(row["id"], row["name"]) for row in await self.rows()]


@pytest.fixture
def services(warehouse: Warehouse, dataset: str) -> Services:
    return Services(warehouse, dataset)


async def test_rows_take_the_place_of_those_with_their_keys_and_the_others_stay(services: Services) -> None:
    assert await services.merge(ONE_AND_TWO) == 2
    assert await services.merge(TWO_AND_THREE) == 2
    assert await services.names() == [(1, "a"), (2, "B"), (3, "C")]


async def test_the_same_rows_merged_twice_leave_the_same_table(services: Services) -> None:
    await services.merge(ONE_AND_TWO)
    staged = await services.stage(TWO_AND_THREE)
    for _ in range(2):
        assert (await finish(services.warehouse, services.job(staged))).rows == 2
        assert await services.names() == [(1, "a"), (2, "B"), (3, "C")]


async def test_no_rows_change_nothing(services: Services) -> None:
    none = "SELECT 1 AS id, 'a' AS name FROM UNNEST([1]) AS one WHERE one > 1"
    assert await services.merge(none) == 0
    assert await services.names() == []
    await services.merge(ONE_AND_TWO)
    assert await services.merge(none) == 0
    assert await services.names() == [(1, "a"), (2, "b")]


async def test_rows_agree_where_all_their_keys_do(services: Services) -> None:
    row = "SELECT {} AS id, DATE '2025-11-{}' AS day, '{}' AS name"
    await services.merge(f"{row.format(1, 15, 'a')} UNION ALL {row.format(1, 16, 'b')}", "id", "day")
    await services.merge(f"{row.format(1, 16, 'B')} UNION ALL {row.format(2, 16, 'c')}", "id", "day")
    found = {(found["id"], found["day"]): found["name"] for found in await services.rows()}
    fifteenth, sixteenth = date(2025, 11, 15), date(2025, 11, 16)
    assert found == {(1, fifteenth): "a", (1, sixteenth): "B", (2, sixteenth): "c"}


async def test_rows_of_nothing_but_keys_are_there_once(services: Services) -> None:
    rows = "SELECT 1 AS id, '{}' AS name"
    for name, count in (("a", 1), ("A", 2), ("a", 2)):
        assert await services.merge(rows.format(name), "id", "name") == 1
        assert len(await services.rows()) == count


async def test_values_of_every_kind_are_updated_null_included(services: Services) -> None:
    rows = (
        "SELECT 1 AS id, {} AS name, [STRUCT(CAST({} AS NUMERIC) AS amount, 'x' AS unit)] AS credits, JSON '{{\"a\": {}}}' AS raw, "
        "TIMESTAMP '2025-11-15 00:00:00+00' AS `at`, 0.5 AS share"
    )
    await services.merge(rows.format("'a'", 1, 1))
    staged = await services.stage(rows.format("CAST(NULL AS STRING)", 2, 2))
    await finish(services.warehouse, services.job(staged))
    assert list(await services.warehouse.list_rows(services.table)) == list(await services.warehouse.list_rows(staged))


@pytest.mark.parametrize("before", [True, False], ids=["into rows", "into nothing"])
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (f"{TWO_AND_THREE} UNION ALL SELECT CAST(NULL AS INT64), 'x'", "1 staged rows have NULL in a key"),
        (f"{TWO_AND_THREE} UNION ALL SELECT 2, 'x'", "1 keys stand in more than one"),
        (f"{TWO_AND_THREE} UNION ALL SELECT 3, 'C' UNION ALL SELECT 2, 'x'", "2 keys stand in more than one"),
    ],
)
async def test_keys_that_are_not_there_or_there_twice_are_refused_before_anything_changes(
    services: Services, before: bool, rows: str, message: str
) -> None:
    if before:
        await services.merge(ONE_AND_TWO)
    with pytest.raises(Terminal, match=message) as caught:
        await services.merge(rows)
    assert caught.value.reason == "MERGE_KEYS_INVALID"
    if before:
        assert await services.names() == [(1, "a"), (2, "b")]
    else:
        with pytest.raises(ObjectNotFound):
            await services.warehouse.get_table(services.table)


@pytest.mark.parametrize(
    "column", ["0.5 AS id", "[1] AS id", "STRUCT(1 AS x) AS id", "JSON '1' AS id", "1 AS other"], ids=lambda sql: sql
)
async def test_what_does_not_tell_rows_apart_is_no_key(services: Services, column: str) -> None:
    with pytest.raises(Terminal, match="id"):
        await services.merge(f"SELECT {column}, 'a' AS name")
    with pytest.raises(ObjectNotFound):
        await services.warehouse.get_table(services.table)


@pytest.mark.parametrize(
    "sql",
    ["SELECT 2 AS id", "SELECT 2 AS id, 3 AS name", "SELECT 2 AS id, 'b' AS name, 1 AS more", "SELECT 2 AS id, 'b' AS other"],
    ids=["fewer", "another type", "more", "another name"],
)  # fmt: skip
async def test_rows_of_other_columns_are_refused_before_anything_changes(services: Services, sql: str) -> None:
    await services.merge(ONE_AND_TWO)
    with pytest.raises(Terminal):
        await services.merge(sql)
    assert await services.names() == [(1, "a"), (2, "b")]


async def test_rows_partitioned_otherwise_than_the_table_are_refused(services: Services) -> None:
    row = "SELECT 1 AS id, DATE '2025-11-15' AS day"
    await finish(services.warehouse, services.job(await services.stage(row, "day")))
    with pytest.raises(Terminal):
        await services.merge(row)


async def test_rows_that_are_not_there_are_refused(services: Services) -> None:
    with pytest.raises(Terminal):
        await finish(services.warehouse, services.job(TableRef(services.dataset, "_stage_gone")))


async def test_the_table_is_laid_out_as_the_rows_that_came_first_and_does_not_expire(services: Services) -> None:
    staged = await services.stage("SELECT 1 AS id, 'a' AS name, DATE '2025-11-15' AS day", "day", ("name",))
    await finish(services.warehouse, services.job(staged))
    table = await services.warehouse.get_table(services.table)
    assert (table.spec.partition_column, table.spec.clustering, table.expire_time) == ("day", ("name",), None)
    assert table.spec.columns == (Column("id", "INT64"), Column("name", "STRING"), Column("day", "DATE"))


@pytest.mark.parametrize("first", ["into nothing", "into rows"])
async def test_a_merges_id_never_runs_twice(services: Services, first: str) -> None:
    if first == "into rows":
        await services.merge(TWO_AND_THREE)
    staged = await services.stage(ONE_AND_TWO)
    job = services.job(staged)
    await finish(services.warehouse, job)
    await services.merge("SELECT 1 AS id, 'later' AS name")
    with pytest.raises(ObjectExists):
        await services.warehouse.submit(job)
    await services.warehouse.delete_table(staged)
    with pytest.raises(ObjectExists):
        await services.warehouse.submit(job)
    assert (await services.warehouse.wait(job.job_id, timeout_seconds=30)).rows == 2
    assert (await services.names())[0] == (1, "later")


async def test_concurrent_merges_of_different_keys_all_arrive(services: Services) -> None:
    """Also the first ones, which find no table."""
    staged = [await services.stage(f"SELECT {n} AS id, 'n{n}' AS name") for n in range(8)]
    assert await asyncio.gather(*map(services.merge_once, staged)) == [1] * 8
    assert await services.names() == [(n, f"n{n}") for n in range(8)]


async def test_concurrent_merges_of_one_new_key_leave_one_row(services: Services) -> None:
    staged = [await services.stage(f"SELECT 1 AS id, 'n{n}' AS name") for n in range(8)]
    await asyncio.gather(*map(services.merge_once, staged))
    ((_, name),) = await services.names()
    assert name in {f"n{n}" for n in range(8)}


async def test_a_reader_sees_all_of_a_merge_or_nothing(services: Services) -> None:
    await services.merge("SELECT n AS id, 'a' AS name FROM UNNEST(GENERATE_ARRAY(1, 200)) AS n")
    rows = "SELECT n AS id, '{}' AS name FROM UNNEST(GENERATE_ARRAY(1, 200)) AS n"
    staged = [await services.stage(rows.format(name)) for name in "bc"]
    seen: list[object] = []

    async def merge() -> None:
        for table in staged * 2:
            await finish(services.warehouse, services.job(table))

    merging = asyncio.create_task(merge())
    while not merging.done():
        counted = f"SELECT COUNT(DISTINCT name) AS names, COUNT(*) AS n FROM `{services.table}`"
        seen += [(row["names"], row["n"]) for row in await select(services.warehouse, counted)]
    await merging
    assert set(seen) == {(1, 200)}


@pytest.mark.parametrize("connect", ["bigquery"], indirect=True)
async def test_a_merge_bills_its_check_of_the_keys_too_and_no_more_than_it_may(services: Services) -> None:
    await services.merge(ONE_AND_TWO)
    staged = await services.stage(TWO_AND_THREE)
    mib = 2**20
    for most in (mib, 29 * mib):  # 10 MiB for the check, 20 MiB for the MERGE of one table into another
        with pytest.raises(Terminal) as refused:
            await finish(services.warehouse, replace(services.job(staged), max_bytes_billed=most))
        assert refused.value.reason == "BYTES_BILLED_LIMIT"
    assert await services.names() == [(1, "a"), (2, "b")]
    result = await finish(services.warehouse, replace(services.job(staged), max_bytes_billed=30 * mib))
    assert (result.rows, result.bytes_billed) == (2, 30 * mib)
