"""Views: made and replaced at once, read as tables are, and never in the way of one."""

import asyncio

import pytest

from common.errors import ObjectNotFound, Terminal
from common.warehouse.columns import Column
from common.warehouse.warehouse import MergeJob, ReplaceJob, Statement, TableRef, TableSpec, Warehouse
from tests.contract.work import execute, finish, new_id, select

SPEC = TableSpec((Column("id", "INT64"), Column("name", "STRING"), Column("cost", "NUMERIC")))


@pytest.fixture
async def table(warehouse: Warehouse, dataset: str) -> TableRef:
    ref = TableRef(dataset, "services")
    await warehouse.create_table(ref, SPEC)
    await execute(warehouse, f"INSERT INTO `{ref}` (id, name, cost) VALUES (1, 'a', 1.5), (2, 'b', 2)")
    return ref


@pytest.fixture
def view(dataset: str) -> TableRef:
    return TableRef(dataset, "named")


async def read(warehouse: Warehouse, view: TableRef) -> list[object]:
    return [row["name"] for row in await select(warehouse, f"SELECT name FROM `{view}` ORDER BY name")]


async def test_a_view_shows_what_its_tables_hold_when_it_is_read(
    warehouse: Warehouse, table: TableRef, view: TableRef
) -> None:
    await warehouse.create_or_replace_view(view, f"SELECT name FROM `{table}` WHERE id > 1")
    assert await read(warehouse, view) == ["b"]
    await execute(warehouse, f"INSERT INTO `{table}` (id, name) VALUES (3, 'c')")
    assert await read(warehouse, view) == ["b", "c"]


async def test_a_view_is_described_and_listed_and_has_no_rows_of_its_own(
    warehouse: Warehouse, table: TableRef, view: TableRef
) -> None:
    await warehouse.create_or_replace_view(view, f"SELECT name, SUM(cost) AS cost FROM `{table}` GROUP BY name")
    found = await warehouse.get_table(view)
    assert found.spec == TableSpec((Column("name", "STRING"), Column("cost", "NUMERIC")))
    assert (found.row_count, found.expire_time) == (0, None)
    assert set(await warehouse.list_tables(view.dataset)) == {table, view}
    with pytest.raises(Terminal):
        await warehouse.list_rows(view)


async def test_a_view_is_replaced_with_its_columns_and_the_same_again_changes_nothing(
    warehouse: Warehouse, table: TableRef, view: TableRef
) -> None:
    await warehouse.create_or_replace_view(view, f"SELECT id FROM `{table}`")
    for _ in range(2):
        await warehouse.create_or_replace_view(view, f"SELECT name FROM `{table}` WHERE id = 1")
        assert await read(warehouse, view) == ["a"]
        assert (await warehouse.get_table(view)).spec.columns == (Column("name", "STRING"),)


async def test_a_view_may_read_views(warehouse: Warehouse, table: TableRef, view: TableRef) -> None:
    await warehouse.create_or_replace_view(view, f"SELECT name, id FROM `{table}`")
    second = TableRef(view.dataset, "second")
    await warehouse.create_or_replace_view(
        second, f"WITH n AS (SELECT * FROM `{view}`) SELECT name FROM n WHERE id = 2"
    )
    assert await read(warehouse, second) == ["b"]


async def test_no_view_reads_itself(warehouse: Warehouse, table: TableRef, view: TableRef) -> None:
    with pytest.raises(Terminal):
        await warehouse.create_or_replace_view(view, f"SELECT * FROM `{view}`")
    second = TableRef(view.dataset, "second")
    await warehouse.create_or_replace_view(view, f"SELECT name FROM `{table}`")
    await warehouse.create_or_replace_view(second, f"SELECT name FROM `{view}`")
    for select_sql in (f"SELECT name FROM `{view}`", f"SELECT name FROM `{second}`"):
        with pytest.raises(Terminal):
            await warehouse.create_or_replace_view(view, select_sql)
    assert await read(warehouse, second) == ["a", "b"]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT nothing FROM `{table}`",
        "SELECT * FROM `{table}_gone`",
        "SELECT * FROM `no_such_dataset.services`",
        "SELECT FROM",
        "SELECT name FROM `{table}` WHERE id = @id",
        "DELETE FROM `{table}` WHERE TRUE",
    ],
)
async def test_a_select_that_cannot_be_read_makes_no_view_and_leaves_the_one_that_there_is(
    warehouse: Warehouse, table: TableRef, view: TableRef, sql: str
) -> None:
    with pytest.raises(Terminal):
        await warehouse.create_or_replace_view(view, sql.format(table=table))
    with pytest.raises(ObjectNotFound):
        await warehouse.get_table(view)
    await warehouse.create_or_replace_view(view, f"SELECT name FROM `{table}`")
    with pytest.raises(Terminal):
        await warehouse.create_or_replace_view(view, sql.format(table=table))
    assert await read(warehouse, view) == ["a", "b"]


async def test_a_view_needs_its_dataset(warehouse: Warehouse) -> None:
    with pytest.raises(Terminal):
        await warehouse.create_or_replace_view(TableRef("no_such_dataset", "named"), "SELECT 1 AS id")


async def test_a_view_takes_no_tables_place_and_no_rows(warehouse: Warehouse, table: TableRef, view: TableRef) -> None:
    with pytest.raises(Terminal):
        await warehouse.create_or_replace_view(table, "SELECT 1 AS id")
    assert (await warehouse.get_table(table)).row_count == 2
    await warehouse.create_or_replace_view(view, f"SELECT * FROM `{table}`")
    for job in (ReplaceJob(new_id(), table, view), MergeJob(new_id(), table, view, ("id",))):
        with pytest.raises(Terminal):
            await finish(warehouse, job)
    assert await read(warehouse, view) == ["a", "b"]


async def test_a_deleted_view_leaves_its_tables_and_its_name_may_become_a_tables(
    warehouse: Warehouse, table: TableRef, view: TableRef
) -> None:
    await warehouse.create_or_replace_view(view, f"SELECT name FROM `{table}`")
    await warehouse.delete_table(view)
    with pytest.raises(ObjectNotFound):
        await warehouse.get_table(view)
    assert (await warehouse.get_table(table)).row_count == 2
    await warehouse.create_table(view, SPEC)
    assert (await warehouse.get_table(view)).spec == SPEC


async def test_a_view_outlives_its_table_and_shows_the_next_one(
    warehouse: Warehouse, table: TableRef, view: TableRef
) -> None:
    await warehouse.create_or_replace_view(view, f"SELECT name FROM `{table}`")
    await warehouse.delete_table(table)
    assert (await warehouse.get_table(view)).spec.columns == (Column("name", "STRING"),)
    with pytest.raises(Terminal):
        await read(warehouse, view)
    await warehouse.create_table(table, SPEC)
    assert await read(warehouse, view) == []


async def test_of_concurrent_replacements_one_stands_whole(
    warehouse: Warehouse, table: TableRef, view: TableRef
) -> None:
    sqls = [f"SELECT name FROM `{table}` WHERE id = {1 + n % 2}" for n in range(8)]
    await asyncio.gather(*(warehouse.create_or_replace_view(view, sql) for sql in sqls))
    assert await read(warehouse, view) in (["a"], ["b"])


async def test_reading_a_view_is_billed_as_reading_its_tables(
    warehouse: Warehouse, table: TableRef, view: TableRef
) -> None:
    await warehouse.create_or_replace_view(view, f"SELECT name FROM `{table}`")
    with pytest.raises(Terminal) as caught:
        await warehouse.read(Statement(f"SELECT * FROM `{view}`"), max_bytes_billed=1)
    assert caught.value.reason == "BYTES_BILLED_LIMIT"
