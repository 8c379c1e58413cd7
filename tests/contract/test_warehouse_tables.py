"""Tables: described in full, created once, read without a job."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from common.errors import ObjectExists, ObjectNotFound
from common.warehouse.columns import Column
from common.warehouse.warehouse import Destination, QueryJob, Statement, TableRef, TableSpec, Warehouse
from tests.contract.work import execute, finish, new_id
from tests.stubs.bigquery import LOCATION

SPEC = TableSpec(
    columns=(
        Column("day", "DATE", "REQUIRED", description="The day of usage"),
        Column("service", "STRING"),
        Column("cost", "NUMERIC", "REQUIRED"),
        Column("at", "TIMESTAMP"),
        Column("raw", "JSON"),
        Column("tags", "STRING", "REPEATED"),
        Column(
            "credits",
            "RECORD",
            "REPEATED",
            fields=(Column("amount", "FLOAT64"), Column("name", "STRING", description="As billed")),
        ),
        Column("project", "RECORD", fields=(Column("id", "STRING"), Column("number", "INT64"))),
    ),
    partition_column="day",
    clustering=("service",),
    description="Cost by day",
)
SMALL = TableSpec(columns=(Column("id", "INT64"), Column("name", "STRING")))


async def test_a_table_is_as_it_was_specified(warehouse: Warehouse, dataset: str) -> None:
    ref = TableRef(dataset, "costs")
    await warehouse.create_table(ref, SPEC)
    table = await warehouse.get_table(ref)
    assert table.spec == SPEC
    assert (table.ref, table.row_count, table.expire_time) == (ref, 0, None)


async def test_of_concurrent_creations_of_a_table_one_succeeds(warehouse: Warehouse, dataset: str) -> None:
    ref = TableRef(dataset, "costs")
    created = await asyncio.gather(*(warehouse.create_table(ref, SMALL) for _ in range(8)), return_exceptions=True)
    assert Counter(type(answer) for answer in created) == {type(None): 1, ObjectExists: 7}


async def test_creating_a_table_again_leaves_it_as_it_was(warehouse: Warehouse, dataset: str) -> None:
    ref = TableRef(dataset, "costs")
    await warehouse.create_table(ref, SMALL)
    await execute(warehouse, f"INSERT INTO `{ref}` (id, name) VALUES (1, 'one')")
    with pytest.raises(ObjectExists):
        await warehouse.create_table(ref, SPEC)
    table = await warehouse.get_table(ref)
    assert (table.spec, table.row_count) == (SMALL, 1)


async def test_a_table_needs_its_dataset(warehouse: Warehouse) -> None:
    with pytest.raises(ObjectNotFound):
        await warehouse.create_table(TableRef("no_such_dataset", "costs"), SMALL)


@pytest.mark.parametrize("name", ["no_such_table", "_stage_gone"])
async def test_an_unknown_table_is_not_found(warehouse: Warehouse, dataset: str, name: str) -> None:
    for ref in (TableRef(dataset, name), TableRef("no_such_dataset", name)):
        with pytest.raises(ObjectNotFound):
            await warehouse.get_table(ref)
        with pytest.raises(ObjectNotFound):
            await warehouse.list_rows(ref)


async def test_a_deleted_table_is_gone_and_may_be_deleted_again(warehouse: Warehouse, dataset: str) -> None:
    ref = TableRef(dataset, "costs")
    await warehouse.create_table(ref, SMALL)
    await warehouse.delete_table(ref)
    with pytest.raises(ObjectNotFound):
        await warehouse.get_table(ref)
    await warehouse.delete_table(ref)
    await warehouse.delete_table(TableRef("no_such_dataset", "costs"))


async def test_an_empty_table_lists_no_rows(warehouse: Warehouse, dataset: str) -> None:
    ref = TableRef(dataset, "costs")
    await warehouse.create_table(ref, SPEC)
    assert list(await warehouse.list_rows(ref)) == []


async def test_listing_a_table_yields_every_row_of_it(warehouse: Warehouse, dataset: str) -> None:
    ref = TableRef(dataset, "many")
    await warehouse.create_table(ref, SMALL)
    await execute(
        warehouse,
        f"INSERT INTO `{ref}` (id, name) SELECT n, CAST(n AS STRING) FROM UNNEST(GENERATE_ARRAY(1, 12000)) AS n",
    )
    rows = await warehouse.list_rows(ref)
    assert {row["id"]: row["name"] for row in rows} == {n: str(n) for n in range(1, 12001)}
    assert len(rows) == (await warehouse.get_table(ref)).row_count == 12000


async def test_a_row_is_listed_as_soon_as_its_statement_is_done(warehouse: Warehouse, dataset: str) -> None:
    ref = TableRef(dataset, "keys")
    await warehouse.create_table(ref, SMALL)
    for n in range(5):
        await execute(warehouse, f"INSERT INTO `{ref}` (id, name) VALUES ({n}, 'key')")
        assert len(await warehouse.list_rows(ref)) == n + 1


async def test_the_listing_of_a_dataset_holds_every_table_of_it_and_no_other(
    warehouse: Warehouse, dataset: str
) -> None:
    neighbour = f"{dataset}_2"
    await warehouse.create_dataset(neighbour, location=LOCATION, labels={})
    await warehouse.create_table(TableRef(neighbour, "not_listed"), SMALL)
    assert list(await warehouse.list_tables(dataset)) == []
    refs = {TableRef(dataset, name) for name in ("costs", "_stage_1_load", *(f"more_{n}" for n in range(58)))}
    await asyncio.gather(*(warehouse.create_table(ref, SMALL) for ref in refs))
    listed = await warehouse.list_tables(dataset)
    assert (set(listed), len(listed)) == (refs, 60), "whatever the pages of the vendor's listing"
    await warehouse.delete_table(TableRef(dataset, "costs"))
    assert set(await warehouse.list_tables(dataset)) == refs - {TableRef(dataset, "costs")}


async def test_a_table_that_a_job_made_is_listed_also_where_it_will_expire(warehouse: Warehouse, dataset: str) -> None:
    refs = {
        TableRef(dataset, "kept"): None,
        TableRef(dataset, "_stage_1_load"): datetime.now(UTC) + timedelta(hours=1),
    }
    for ref, expire_time in refs.items():
        destination = Destination(ref, expire_time=expire_time)
        await finish(warehouse, QueryJob(new_id(), Statement("SELECT 1 AS id"), destination))
    assert set(await warehouse.list_tables(dataset)) == refs.keys()


async def test_the_tables_of_an_unknown_dataset_are_not_found(warehouse: Warehouse) -> None:
    with pytest.raises(ObjectNotFound):
        await warehouse.list_tables("no_such_dataset")
