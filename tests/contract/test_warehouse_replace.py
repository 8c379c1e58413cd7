"""Replacing a partition: atomic, repeatable, and only ever with rows that belong into it."""

import asyncio
from datetime import UTC, date, datetime, timedelta

import pytest

from common.clock import SystemClock
from common.errors import ObjectExists, ObjectNotFound, Terminal
from common.warehouse.attempts import run_once
from common.warehouse.columns import Column
from common.warehouse.warehouse import Destination, Parameter, QueryJob, Statement, TableRef, Warehouse
from tests.contract.work import Costs, finish, new_id, select

DAY, NEXT_DAY = date(2025, 11, 15), date(2025, 11, 16)


@pytest.fixture
def costs(warehouse: Warehouse, dataset: str) -> Costs:
    return Costs(warehouse, dataset)


async def test_a_day_is_replaced_and_the_others_stay(costs: Costs) -> None:
    await costs.publish_day(DAY, [1, 2, 3])
    await costs.publish_day(NEXT_DAY, [7])
    assert (await costs.publish_day(DAY, [4, 5])).rows == 2
    assert await costs.amounts(DAY) == [4, 5]
    assert await costs.amounts(NEXT_DAY) == [7]


async def test_publishing_the_same_rows_twice_leaves_them_once(costs: Costs) -> None:
    staged = await costs.stage_day(DAY, [1, 2, 3])
    for _ in range(2):
        assert (await finish(costs.warehouse, costs.replacement(staged, DAY))).rows == 3
    assert await costs.amounts(DAY) == [1, 2, 3]


async def test_a_replacements_id_never_runs_twice(costs: Costs) -> None:
    first = costs.replacement(await costs.stage_day(DAY, [1]), DAY)
    await finish(costs.warehouse, first)
    await costs.publish_day(DAY, [2])
    with pytest.raises(ObjectExists):
        await costs.warehouse.submit(first)
    await costs.warehouse.delete_table(first.source)
    with pytest.raises(ObjectExists):
        await costs.warehouse.submit(first)
    assert await costs.amounts(DAY) == [2]


async def test_a_day_without_rows_empties_the_partition(costs: Costs) -> None:
    await costs.publish_day(DAY, [1, 2])
    await costs.publish_day(NEXT_DAY, [7])
    assert (await costs.publish_day(DAY, [])).rows == 0
    assert await costs.amounts(DAY) == []
    assert await costs.amounts(NEXT_DAY) == [7]


async def test_a_day_without_rows_may_come_first(costs: Costs) -> None:
    await costs.publish_day(DAY, [])
    table = await costs.warehouse.get_table(costs.table)
    assert (table.row_count, table.spec.partition_column) == (0, "day")


async def test_emptying_a_day_never_runs_twice(costs: Costs) -> None:
    emptying = costs.replacement(await costs.stage_day(DAY, []), DAY)
    await finish(costs.warehouse, emptying)
    await costs.publish_day(DAY, [3])
    with pytest.raises(ObjectExists):
        await costs.warehouse.submit(emptying)
    assert await costs.amounts(DAY) == [3]


@pytest.mark.parametrize("stray", ["DATE '2025-11-14'", "DATE '2025-11-16'", "CAST(NULL AS DATE)"])
async def test_rows_outside_of_the_day_are_refused_before_anything_changes(costs: Costs, stray: str) -> None:
    await costs.publish_day(DAY, [1])
    staged = await costs.stage(f"SELECT DATE '2025-11-15' AS day, 2 AS amount UNION ALL SELECT {stray}, 3")
    with pytest.raises(Terminal) as caught:
        await finish(costs.warehouse, costs.replacement(staged, DAY))
    assert caught.value.reason == "ROWS_OUTSIDE_PARTITION"
    assert await costs.amounts(DAY) == [1]


async def test_rows_outside_of_the_day_create_no_table(costs: Costs) -> None:
    with pytest.raises(Terminal):
        await finish(costs.warehouse, costs.replacement(await costs.stage_day(NEXT_DAY, [1]), DAY))
    with pytest.raises(ObjectNotFound):
        await costs.warehouse.get_table(costs.table)


@pytest.mark.parametrize("day", [DAY, None], ids=["partition", "whole table"])
@pytest.mark.parametrize(
    "columns", ["2 AS amount, 3 AS more", "'2' AS amount", "2 AS other"], ids=["more", "another type", "another name"]
)
async def test_rows_of_other_columns_are_refused_before_anything_changes(
    costs: Costs, day: date | None, columns: str
) -> None:
    await costs.publish_day(DAY, [1])
    staged = await costs.stage(f"SELECT DATE '2025-11-15' AS day, {columns}")
    with pytest.raises(Terminal):
        await finish(costs.warehouse, costs.replacement(staged, day))
    assert await costs.amounts(DAY) == [1]


async def test_rows_that_are_not_there_are_refused(costs: Costs) -> None:
    with pytest.raises(Terminal):
        await finish(costs.warehouse, costs.replacement(TableRef(costs.dataset, "_stage_gone"), DAY))


async def test_the_published_table_is_laid_out_as_the_staged_rows_and_does_not_expire(costs: Costs) -> None:
    staged = TableRef(costs.dataset, "_stage_one")
    expire_time = datetime.now(UTC) + timedelta(hours=1)
    rows = Statement("SELECT DATE '2025-11-15' AS day, 'a' AS service, CAST('1.5' AS NUMERIC) AS cost")
    await finish(costs.warehouse, QueryJob(new_id(), rows, Destination(staged, "day", ("service",), expire_time)))
    await finish(costs.warehouse, costs.replacement(staged, DAY))
    table = await costs.warehouse.get_table(costs.table)
    assert table.expire_time is None
    assert (table.spec.partition_column, table.spec.clustering) == ("day", ("service",))
    assert [(c.name, c.type) for c in table.spec.columns] == [
        ("day", "DATE"),
        ("service", "STRING"),
        ("cost", "NUMERIC"),
    ]


async def test_a_day_of_a_timestamp_column_ends_at_midnight_utc(costs: Costs) -> None:
    instants = ["2025-11-15 00:00:00", "2025-11-15 23:59:59.999999"]
    day = "SELECT TIMESTAMP '{}+00:00' AS `at`"
    inside = await costs.stage(" UNION ALL ".join(day.format(i) for i in instants), partition_column="at")
    assert (await finish(costs.warehouse, costs.replacement(inside, DAY))).rows == 2
    for instant in ("2025-11-14 23:59:59.999999", "2025-11-16 00:00:00"):
        outside = await costs.stage(day.format(instant), partition_column="at")
        with pytest.raises(Terminal) as caught:
            await finish(costs.warehouse, costs.replacement(outside, DAY))
        assert caught.value.reason == "ROWS_OUTSIDE_PARTITION"
    following = await costs.stage(day.format("2025-11-16 00:00:00"), partition_column="at")
    await finish(costs.warehouse, costs.replacement(following, NEXT_DAY))
    empty = await costs.stage(f"SELECT `at` FROM `{costs.table}` WHERE FALSE", partition_column="at")
    await finish(costs.warehouse, costs.replacement(empty, DAY))
    assert [row["at"] for row in await costs.warehouse.list_rows(costs.table)] == [datetime(2025, 11, 16, tzinfo=UTC)]


async def test_a_whole_table_is_created_replaced_and_emptied(costs: Costs) -> None:
    for amounts in ([1, 2], [3], [], [4, 5]):
        rows = Parameter("amounts", "INT64", amounts, array=True)
        staged = await costs.stage("SELECT amount FROM UNNEST(@amounts) AS amount", rows, partition_column=None)
        result = await finish(costs.warehouse, costs.replacement(staged, None))
        assert result.rows == len(amounts)
        published = await costs.warehouse.list_rows(costs.table)
        assert sorted(int(str(row["amount"])) for row in published) == amounts


async def test_nested_records_are_published_as_they_were_staged(costs: Costs) -> None:
    staged = await costs.stage(
        "SELECT DATE '2025-11-15' AS day, STRUCT('p' AS id, [STRUCT('k' AS key, 'v' AS value)] AS labels) AS project, "
        "[STRUCT(CAST('-0.000000001' AS NUMERIC) AS amount), STRUCT(CAST(NULL AS NUMERIC) AS amount)] AS credits"
    )
    before = await costs.warehouse.list_rows(staged)
    await finish(costs.warehouse, costs.replacement(staged, DAY))
    assert list(await costs.warehouse.list_rows(costs.table)) == list(before)
    columns = (await costs.warehouse.get_table(costs.table)).spec.columns
    assert columns[2] == Column("credits", "RECORD", "REPEATED", (Column("amount", "NUMERIC"),))


async def test_a_reader_sees_the_rows_of_before_or_of_after(costs: Costs) -> None:
    few, many = await costs.stage_day(DAY, range(100)), await costs.stage_day(DAY, range(300))
    await finish(costs.warehouse, costs.replacement(few, DAY))
    counts: list[object] = []

    async def replace() -> None:
        for _ in range(3):
            for staged in (many, few):
                await finish(costs.warehouse, costs.replacement(staged, DAY))

    replacing = asyncio.create_task(replace())
    while not replacing.done():
        counts += [row["n"] for row in await select(costs.warehouse, f"SELECT COUNT(*) AS n FROM `{costs.table}`")]
    await replacing
    assert set(counts) <= {100, 300}
    assert len(counts) > 3


async def replaced_once(costs: Costs, staged: TableRef, day: date) -> int:
    work = new_id("publish")
    result = await run_once(
        costs.warehouse,
        lambda attempt: costs.replacement(staged, day, f"{work}-{attempt}"),
        deadline_seconds=60,
        max_attempts=20,
        clock=SystemClock(),
    )
    return result.rows


async def test_replacements_of_different_days_do_not_disturb_each_other(costs: Costs) -> None:
    days = [DAY + timedelta(days=n) for n in range(6)]
    staged = [await costs.stage_day(day, [n]) for n, day in enumerate(days)]
    assert await asyncio.gather(*map(replaced_once, [costs] * 6, staged, days)) == [1] * 6
    assert [await costs.amounts(day) for day in days] == [[n] for n in range(6)]


async def test_of_concurrent_replacements_of_one_day_the_last_stands_whole(costs: Costs) -> None:
    staged = [await costs.stage_day(DAY, [n] * (n + 1)) for n in range(4)]
    rows = await asyncio.gather(*(replaced_once(costs, table, DAY) for table in staged))
    assert rows == [1, 2, 3, 4]
    assert await costs.amounts(DAY) in [[n] * (n + 1) for n in range(4)]
