"""Columns are added to tables that exist: never one twice, never one changed, and no row is lost meanwhile."""

import asyncio

import pytest

from common.clock import SystemClock
from common.errors import ObjectNotFound, Terminal
from common.warehouse.columns import Column
from common.warehouse.effects import Effects
from common.warehouse.warehouse import Statement, TableRef, TableSpec, Warehouse
from tests.contract.work import execute, new_id, select
from tests.warehouses import Connect

SPEC = TableSpec(
    columns=(Column("day", "DATE", "REQUIRED", description="The day"), Column("name", "STRING")),
    partition_column="day",
    clustering=("name",),
    description="Of one tenant",
)
ADDED = (
    Column("note", "STRING", description="What was said"),
    Column("tags", "STRING", "REPEATED"),
    Column("at", "TIMESTAMP"),
    Column("parts", "RECORD", "REPEATED", fields=(Column("amount", "NUMERIC"),)),
)


@pytest.fixture
async def table(warehouse: Warehouse, dataset: str) -> TableRef:
    ref = TableRef(dataset, "things")
    await warehouse.create_table(ref, SPEC)
    await execute(warehouse, f"INSERT INTO `{ref}` (day, name) VALUES (DATE '2025-11-15', 'old')")
    return ref


async def test_columns_are_added_behind_the_others_and_empty_in_rows_that_exist(
    warehouse: Warehouse, table: TableRef
) -> None:
    await warehouse.add_columns(table, ADDED)
    spec = (await warehouse.get_table(table)).spec
    assert spec == TableSpec((*SPEC.columns, *ADDED), SPEC.partition_column, SPEC.clustering, SPEC.description)
    (row,) = await warehouse.list_rows(table)
    assert (row["name"], row["note"], row["tags"], row["at"], row["parts"]) == ("old", None, [], None, [])
    sql = "INSERT INTO `{0}` (day, name, note, tags) VALUES (DATE '2025-11-16', 'new', 'said', ['a', 'b'])"
    await execute(warehouse, sql.format(table))
    rows = await select(warehouse, f"SELECT note, tags FROM `{table}` WHERE day = DATE '2025-11-16'")
    assert rows == [{"note": "said", "tags": ["a", "b"]}]


async def test_a_column_that_exists_is_left_as_it_is_whatever_its_type_and_case(
    warehouse: Warehouse, table: TableRef
) -> None:
    again = (Column("NAME", "INT64"), Column("day", "DATE", "REQUIRED"))
    await warehouse.add_columns(table, again)
    assert (await warehouse.get_table(table)).spec == SPEC
    await warehouse.add_columns(table, (*again, Column("note", "STRING")))
    assert (await warehouse.get_table(table)).spec.columns == (*SPEC.columns, Column("note", "STRING"))


async def test_a_required_column_is_not_added_and_nothing_beside_it(warehouse: Warehouse, table: TableRef) -> None:
    with pytest.raises(Terminal):
        await warehouse.add_columns(table, (Column("note", "STRING"), Column("must", "STRING", "REQUIRED")))
    assert (await warehouse.get_table(table)).spec == SPEC


async def test_columns_of_an_unknown_table_are_not_found(warehouse: Warehouse, dataset: str) -> None:
    for ref in (TableRef(dataset, "no_such_table"), TableRef("no_such_dataset", "things")):
        with pytest.raises(ObjectNotFound):
            await warehouse.add_columns(ref, ADDED)


async def test_the_same_and_other_columns_are_added_by_many_at_once(connect: Connect, table: TableRef) -> None:
    processes = [connect() for _ in range(4)]
    own = [Column(f"own_{number}", "INT64") for number in range(8)]
    await asyncio.gather(
        *(processes[number % 4].add_columns(table, (*ADDED, own[number])) for number in range(len(own)))
    )
    columns = (await processes[0].get_table(table)).spec.columns
    assert columns[:2] == SPEC.columns
    assert sorted(column.name for column in columns[2:]) == sorted(column.name for column in (*ADDED, *own))


async def test_rows_that_are_written_meanwhile_are_all_there(warehouse: Warehouse, table: TableRef) -> None:
    effects = Effects(warehouse, SystemClock())

    async def write(number: int) -> None:
        sql = f"INSERT INTO `{table}` (day, name) VALUES (DATE '2025-11-17', 'n{number}')"
        await effects.run(new_id("write"), Statement(sql))

    await asyncio.gather(
        *(write(number) for number in range(12)),
        *(warehouse.add_columns(table, (Column(f"later_{number}", "STRING"),)) for number in range(4)),
    )
    names = [row["name"] for row in await warehouse.list_rows(table)]
    assert sorted(map(str, names)) == sorted(["old", *(f"n{number}" for number in range(12))])
    assert len((await warehouse.get_table(table)).spec.columns) == 6
