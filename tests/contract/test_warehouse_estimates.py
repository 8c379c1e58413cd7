"""Estimates: what a SELECT would read, told without running it, and never an error where a table is still to come."""

import pytest

from common.errors import Terminal
from common.warehouse.columns import Column
from common.warehouse.estimate import Estimate
from common.warehouse.warehouse import Parameter, QueryJob, Statement, TableRef, TableSpec, Warehouse
from tests.contract.work import execute, finish, new_id, select

SPEC = TableSpec(columns=(Column("id", "INT64"), Column("day", "DATE")))


@pytest.fixture
async def table(warehouse: Warehouse, dataset: str) -> TableRef:
    """A table of three rows."""
    ref = TableRef(dataset, "things")
    await warehouse.create_table(ref, SPEC)
    values = "(1, DATE '2025-11-15'), (2, DATE '2025-11-16'), (3, NULL)"
    await execute(warehouse, f"INSERT INTO `{ref}` (id, day) VALUES {values}")
    return ref


async def test_an_estimate_is_what_the_statement_then_reads(warehouse: Warehouse, table: TableRef) -> None:
    day = Parameter("day", "DATE", None)
    statement = Statement(f"SELECT id FROM `{table}` WHERE day = @day OR @day IS NULL", (day,))
    estimate = await warehouse.estimate(statement)
    result = await finish(warehouse, QueryJob(new_id(), statement))
    assert estimate.bytes_processed == result.bytes_processed == 3 * 16
    assert estimate.basis in ("dry_run", "table_sizes")


async def test_an_estimate_grows_with_the_table(warehouse: Warehouse, table: TableRef) -> None:
    statement = Statement(f"SELECT * FROM `{table}`")
    before = await warehouse.estimate(statement)
    await execute(warehouse, f"INSERT INTO `{table}` (id, day) SELECT id + 3, day FROM `{table}`")
    after = await warehouse.estimate(statement)
    assert before.bytes_processed is not None
    assert after.bytes_processed == 2 * before.bytes_processed


async def test_a_statement_that_reads_no_table_reads_nothing(warehouse: Warehouse) -> None:
    estimate = await warehouse.estimate(Statement("SELECT 1 AS one"))
    assert estimate.bytes_processed == 0


async def test_of_a_table_that_is_still_to_come_nothing_is_known(warehouse: Warehouse, table: TableRef) -> None:
    for missing in (f"{table.dataset}.to_come", "no_such_dataset.things"):
        joined = Statement(f"SELECT a.id FROM `{table}` AS a JOIN `{missing}` AS b ON a.id = b.id")
        assert await warehouse.estimate(joined) == Estimate(None, "table_missing")


@pytest.mark.parametrize("sql", ["SELEC 1", "SELECT no_such_column FROM `{table}`", "SELECT @missing AS one"])
async def test_the_estimate_of_a_statement_that_does_not_compile_is_terminal(
    warehouse: Warehouse, table: TableRef, sql: str
) -> None:
    with pytest.raises(Terminal):
        await warehouse.estimate(Statement(sql.format(table=table)))


async def test_estimating_runs_nothing(warehouse: Warehouse, table: TableRef) -> None:
    slow = f"SELECT COUNT(*) AS n FROM `{table}` AS t, UNNEST(GENERATE_ARRAY(1, 200000)) AS a, UNNEST(GENERATE_ARRAY(1, 200000)) AS b"
    assert (await warehouse.estimate(Statement(slow))).bytes_processed == 3 * 16
    failing = f"SELECT CAST(CONCAT('x', CAST(id AS STRING)) AS INT64) AS id FROM `{table}`"
    assert (await warehouse.estimate(Statement(failing))).bytes_processed == 3 * 16
    assert len(await select(warehouse, f"SELECT * FROM `{table}`")) == 3
