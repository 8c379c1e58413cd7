"""Jobs: an id never runs twice, any process may wait for it, and what failed has changed nothing."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from common.errors import JobAborted, ObjectExists, ObjectNotFound, Terminal, Transient
from common.warehouse.columns import Column
from common.warehouse.warehouse import Destination, JobResult, QueryJob, Statement, TableRef, TableSpec, Warehouse
from tests.contract.work import SLOW, WAIT_SECONDS, execute, finish, new_id
from tests.warehouses import Connect

SPEC = TableSpec(columns=(Column("id", "INT64"), Column("name", "STRING")))


@pytest.fixture
async def table(warehouse: Warehouse, dataset: str) -> TableRef:
    ref = TableRef(dataset, "things")
    await warehouse.create_table(ref, SPEC)
    return ref


def insertion(table: TableRef, job_id: str) -> QueryJob:
    return QueryJob(job_id, Statement(f"INSERT INTO `{table}` (id, name) VALUES (1, 'one'), (2, 'two')"))


async def count(warehouse: Warehouse, table: TableRef) -> int:
    return len(await warehouse.list_rows(table))


async def test_a_finished_job_tells_the_rows_that_it_affected(warehouse: Warehouse, table: TableRef) -> None:
    job = insertion(table, new_id())
    result = await finish(warehouse, job)
    assert (result.job_id, result.rows) == (job.job_id, 2)
    assert (await execute(warehouse, f"UPDATE `{table}` SET name = 'both' WHERE TRUE")).rows == 2
    assert (await execute(warehouse, f"UPDATE `{table}` SET name = 'none' WHERE id = 3")).rows == 0
    assert (await execute(warehouse, f"DELETE FROM `{table}` WHERE id = 1")).rows == 1


async def test_a_merge_tells_how_many_rows_it_touched(warehouse: Warehouse, table: TableRef) -> None:
    merge = f"""
        MERGE INTO `{table}` AS t USING (SELECT 1 AS id, 'new' AS name WHERE {{condition}}) AS s ON t.id = s.id
        WHEN MATCHED THEN UPDATE SET name = s.name
        WHEN NOT MATCHED THEN INSERT (id, name) VALUES (s.id, s.name)"""
    assert (await execute(warehouse, merge.format(condition="FALSE"))).rows == 0
    assert (await execute(warehouse, merge.format(condition="TRUE"))).rows == 1
    assert (await execute(warehouse, merge.format(condition="TRUE"))).rows == 1
    assert await count(warehouse, table) == 1


async def test_a_job_id_never_runs_twice(warehouse: Warehouse, table: TableRef) -> None:
    job = insertion(table, new_id())
    await finish(warehouse, job)
    with pytest.raises(ObjectExists):
        await warehouse.submit(job)
    assert await count(warehouse, table) == 2


async def test_of_concurrent_submissions_of_one_id_one_runs(connect: Connect, table: TableRef) -> None:
    job, processes = insertion(table, new_id()), [connect() for _ in range(4)]
    answers = await asyncio.gather(*(processes[i % 4].submit(job) for i in range(12)), return_exceptions=True)
    assert Counter(type(answer) for answer in answers) == {type(None): 1, ObjectExists: 11}
    await processes[0].wait(job.job_id, timeout_seconds=WAIT_SECONDS)
    assert await count(processes[0], table) == 2


async def test_the_id_of_a_failed_job_is_used_up(warehouse: Warehouse, table: TableRef) -> None:
    failing = QueryJob(new_id(), Statement("SELECT CAST('x' AS INT64) AS id"), Destination(table))
    with pytest.raises(Terminal):
        await finish(warehouse, failing)
    with pytest.raises(ObjectExists):
        await warehouse.submit(insertion(table, failing.job_id))
    with pytest.raises(Terminal):
        await warehouse.wait(failing.job_id, timeout_seconds=WAIT_SECONDS)
    assert await count(warehouse, table) == 0


async def test_another_process_waits_for_a_job_by_its_id_alone(connect: Connect, table: TableRef) -> None:
    job, other = insertion(table, new_id()), connect()
    await connect().submit(job)
    assert (await other.wait(job.job_id, timeout_seconds=WAIT_SECONDS)).rows == 2


async def test_waiting_again_tells_the_same(warehouse: Warehouse, table: TableRef) -> None:
    job = insertion(table, new_id())
    first = await finish(warehouse, job)
    assert await warehouse.wait(job.job_id, timeout_seconds=WAIT_SECONDS) == first


async def test_an_unknown_job_is_not_found(warehouse: Warehouse) -> None:
    with pytest.raises(ObjectNotFound):
        await warehouse.wait(new_id(), timeout_seconds=1)


@pytest.mark.parametrize(
    "sql", ["SELEC 1", "SELECT no_such_column FROM `{table}`", "SELECT * FROM `{dataset}.no_such_table`"]
)
async def test_a_statement_that_cannot_run_is_terminal(
    warehouse: Warehouse, dataset: str, table: TableRef, sql: str
) -> None:
    with pytest.raises(Terminal):
        await execute(warehouse, sql.format(table=table, dataset=dataset))


async def test_an_error_repeats_no_value_of_a_row(warehouse: Warehouse, table: TableRef) -> None:
    await execute(warehouse, f"INSERT INTO `{table}` (id, name) VALUES (1, 'secret-value')")
    with pytest.raises(Terminal) as caught:
        await execute(warehouse, f"SELECT CAST(name AS INT64) AS id FROM `{table}`")
    assert "secret-value" not in f"{caught.value} {caught.value.metadata}"


async def test_waiting_for_less_than_a_job_takes_says_nothing_of_the_job(warehouse: Warehouse) -> None:
    job = QueryJob(new_id(), Statement(SLOW))
    await warehouse.submit(job)
    with pytest.raises(Transient) as caught:
        await warehouse.wait(job.job_id, timeout_seconds=0.1)
    assert not isinstance(caught.value, JobAborted)
    await warehouse.cancel(job.job_id)
    with pytest.raises(Terminal):
        await warehouse.wait(job.job_id, timeout_seconds=WAIT_SECONDS)


async def test_a_cancelled_job_has_no_effect(warehouse: Warehouse, table: TableRef) -> None:
    job = QueryJob(new_id(), Statement(f"INSERT INTO `{table}` (id, name) SELECT n, 'n' FROM ({SLOW})"))
    await warehouse.submit(job)
    await warehouse.cancel(job.job_id)
    with pytest.raises(Terminal):
        await warehouse.wait(job.job_id, timeout_seconds=WAIT_SECONDS)
    assert await count(warehouse, table) == 0


async def test_cancelling_what_ended_or_never_was_is_no_error(warehouse: Warehouse, table: TableRef) -> None:
    job = insertion(table, new_id())
    await finish(warehouse, job)
    await warehouse.cancel(job.job_id)
    await warehouse.cancel(new_id())
    assert (await warehouse.wait(job.job_id, timeout_seconds=WAIT_SECONDS)).rows == 2


async def test_a_job_that_outlives_its_timeout_is_stopped(warehouse: Warehouse) -> None:
    with pytest.raises(Terminal):
        await finish(warehouse, QueryJob(new_id(), Statement(SLOW), timeout_seconds=0.3))


async def test_a_statement_over_its_byte_cap_does_not_run(warehouse: Warehouse, table: TableRef) -> None:
    await finish(warehouse, insertion(table, new_id()))
    sql = f"INSERT INTO `{table}` (id, name) SELECT id, name FROM `{table}`"
    with pytest.raises(Terminal) as caught:
        await finish(warehouse, QueryJob(new_id(), Statement(sql), max_bytes_billed=1))
    assert caught.value.reason == "BYTES_BILLED_LIMIT"
    assert await count(warehouse, table) == 2


async def test_a_statement_within_its_byte_cap_tells_its_bytes(warehouse: Warehouse, table: TableRef) -> None:
    await finish(warehouse, insertion(table, new_id()))
    sql = f"INSERT INTO `{table}` (id, name) SELECT id, name FROM `{table}`"
    labels = {"tenant": "acme", "run": "r-1"}
    result = await finish(warehouse, QueryJob(new_id(), Statement(sql), labels=labels, max_bytes_billed=1 << 30))
    assert result.rows == 2
    assert 0 < result.bytes_processed <= 1 << 20
    assert result.bytes_billed >= 0


async def test_a_query_replaces_what_its_destination_held(warehouse: Warehouse, dataset: str) -> None:
    staging = TableRef(dataset, "_stage_one")
    expire_time = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    destination = Destination(staging, partition_column="day", clustering=("name",), expire_time=expire_time)
    for names in (["a", "b", "c"], ["d"]):
        rows = " UNION ALL ".join(f"SELECT DATE '2025-11-15' AS day, '{name}' AS name" for name in names)
        result = await finish(warehouse, QueryJob(new_id(), Statement(rows), destination))
        assert result.rows == len(names)
    table = await warehouse.get_table(staging)
    assert (table.spec.partition_column, table.spec.clustering) == ("day", ("name",))
    assert (table.row_count, table.expire_time) == (1, expire_time)
    assert [column.name for column in table.spec.columns] == ["day", "name"]


async def test_a_failed_query_leaves_its_destination_as_it_was(warehouse: Warehouse, table: TableRef) -> None:
    await finish(warehouse, insertion(table, new_id()))
    failing = Statement("SELECT CAST(word AS INT64) AS id FROM UNNEST(['1', 'x']) AS word")
    with pytest.raises(Terminal):
        await finish(warehouse, QueryJob(new_id(), failing, Destination(table)))
    assert await count(warehouse, table) == 2


async def test_a_result_is_told_after_its_rows_are_gone(warehouse: Warehouse, dataset: str) -> None:
    job = QueryJob(new_id(), Statement("SELECT 1 AS id"), Destination(TableRef(dataset, "_stage_one")))
    await finish(warehouse, job)
    await warehouse.delete_table(TableRef(dataset, "_stage_one"))
    assert isinstance(await warehouse.wait(job.job_id, timeout_seconds=WAIT_SECONDS), JobResult)
    with pytest.raises(ObjectExists):
        await warehouse.submit(job)
