"""Reading a SELECT: page by page, columns first, bounded."""

import pytest

from common.errors import Terminal, WarehouseError
from common.warehouse.columns import Column
from common.warehouse.warehouse import Parameter, Statement, TableRef, TableSpec, Warehouse
from tests.contract.work import SLOW, execute, select

NUMBERS = "SELECT n FROM UNNEST(GENERATE_ARRAY(1, @last)) AS n ORDER BY n"


def numbers(last: int) -> Statement:
    return Statement(NUMBERS, (Parameter("last", "INT64", last),))


async def test_rows_come_in_order_in_pages_no_larger_than_asked_for(warehouse: Warehouse) -> None:
    stream = await warehouse.read(numbers(2500), page_size=1000)
    pages = [page async for page in stream]
    assert all(1 <= len(page) <= 1000 for page in pages)
    assert [row["n"] for page in pages for row in page] == list(range(1, 2501))


async def test_columns_are_known_before_the_first_page(warehouse: Warehouse) -> None:
    stream = await warehouse.read(Statement("SELECT 1 AS id, 'a' AS name, [1.5] AS shares"))
    assert stream.columns == (
        Column("id", "INT64"),
        Column("name", "STRING"),
        Column("shares", "FLOAT64", "REPEATED"),
    )
    await stream.close()


async def test_a_select_without_rows_has_columns_and_no_page(warehouse: Warehouse) -> None:
    stream = await warehouse.read(Statement("SELECT 1 AS id FROM UNNEST([1]) WHERE FALSE"))
    assert [column.name for column in stream.columns] == ["id"]
    assert [page async for page in stream] == []


async def test_a_stream_may_be_closed_before_its_end_and_again(warehouse: Warehouse) -> None:
    stream = await warehouse.read(numbers(5000), page_size=100)
    async for page in stream:
        assert len(page) == 100
        break
    await stream.close()
    await stream.close()
    assert await select(warehouse, "SELECT 1 AS id") == [{"id": 1}]


async def test_several_streams_are_read_in_turns(warehouse: Warehouse) -> None:
    streams = [await warehouse.read(numbers(last), page_size=10) for last in (25, 30)]
    iterators = [aiter(stream) for stream in streams]
    first, second = await anext(iterators[0]), await anext(iterators[1])
    assert first == second == [{"n": n} for n in range(1, 11)]
    assert [row["n"] async for page in iterators[0] for row in page] == list(range(11, 26))
    assert [row["n"] async for page in iterators[1] for row in page] == list(range(11, 31))


async def test_reading_tells_the_bytes_that_it_read(warehouse: Warehouse, dataset: str) -> None:
    ref = TableRef(dataset, "things")
    await warehouse.create_table(ref, TableSpec((Column("id", "INT64"),)))
    await execute(warehouse, f"INSERT INTO `{ref}` (id) VALUES (1), (2)")
    stream = await warehouse.read(Statement(f"SELECT id FROM `{ref}`"))
    assert stream.bytes_processed > 0
    assert stream.bytes_billed == 10 * 2**20, "the least for one table"
    await stream.close()


async def test_a_select_over_its_byte_cap_is_not_read(warehouse: Warehouse, dataset: str) -> None:
    ref = TableRef(dataset, "things")
    await warehouse.create_table(ref, TableSpec((Column("id", "INT64"),)))
    await execute(warehouse, f"INSERT INTO `{ref}` (id) VALUES (1), (2)")
    with pytest.raises(Terminal) as caught:
        await warehouse.read(Statement(f"SELECT id FROM `{ref}`"), max_bytes_billed=1)
    assert caught.value.reason == "BYTES_BILLED_LIMIT"


@pytest.mark.parametrize("sql", ["SELEC 1", "SELECT missing FROM UNNEST([1]) AS present"])
async def test_a_select_that_does_not_compile_is_terminal(warehouse: Warehouse, sql: str) -> None:
    with pytest.raises(Terminal):
        await warehouse.read(Statement(sql))


async def test_a_select_from_a_table_that_does_not_exist_is_terminal(warehouse: Warehouse, dataset: str) -> None:
    with pytest.raises(Terminal):
        await warehouse.read(Statement(f"SELECT id FROM `{dataset}.no_such_table`"))


async def test_a_select_is_given_up_after_its_timeout(warehouse: Warehouse) -> None:
    with pytest.raises(WarehouseError):
        await warehouse.read(Statement(SLOW), timeout_seconds=0.3)


async def test_a_table_of_our_own_project_may_be_named_in_full_or_short(warehouse: Warehouse, dataset: str) -> None:
    ref = TableRef(dataset, "things")
    await warehouse.create_table(ref, TableSpec((Column("id", "INT64"),)))
    for name in (f"`{ref}`", f"`{dataset}`.`things`", f"{ref}"):
        assert await select(warehouse, f"SELECT id FROM {name}") == []
