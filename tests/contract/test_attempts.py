"""`run_once` over both warehouses: an effect happens once, whoever asks for it and however often."""

import asyncio
from collections.abc import Callable

import pytest

from common.clock import SystemClock
from common.errors import JobAborted, ObjectNotFound, Terminal, Transient
from common.warehouse.attempts import run_once
from common.warehouse.columns import Column
from common.warehouse.warehouse import Job, JobResult, QueryJob, Statement, TableRef, TableSpec, Warehouse
from tests.contract.work import SLOW, WAIT_SECONDS, new_id
from tests.warehouses import Connect


class Effect:
    """An insertion of one row, in numbered attempts."""

    def __init__(self, table: TableRef, rows: str = "SELECT 1 AS id") -> None:
        self.work = new_id("effect")
        self.sql = f"INSERT INTO `{table}` (id) SELECT id FROM ({rows})"
        self.attempts: list[int] = []

    def job_for(self, attempt: int) -> Job:
        self.attempts.append(attempt)
        return QueryJob(self.id_of(attempt), Statement(self.sql))

    def id_of(self, attempt: int) -> str:
        return f"{self.work}-{attempt}"

    async def run(self, warehouse: Warehouse, deadline_seconds: float = WAIT_SECONDS) -> JobResult:
        return await run_once(
            warehouse, self.job_for, deadline_seconds=deadline_seconds, max_attempts=3, clock=SystemClock()
        )


@pytest.fixture
async def table(warehouse: Warehouse, dataset: str) -> TableRef:
    ref = TableRef(dataset, "effects")
    await warehouse.create_table(ref, TableSpec((Column("id", "INT64"),)))
    return ref


async def test_a_process_that_takes_over_gets_the_result_of_what_ran(connect: Connect, table: TableRef) -> None:
    effect, first, second = Effect(table), connect(), connect()
    result = await effect.run(first)
    assert await effect.run(second) == result
    assert len(await second.list_rows(table)) == result.rows == 1


async def test_concurrent_processes_run_an_effect_once(connect: Connect, table: TableRef) -> None:
    effect, processes = Effect(table), [connect() for _ in range(4)]
    results = await asyncio.gather(*(effect.run(processes[i % 4]) for i in range(12)))
    assert len(set(results)) == 1
    assert len(await processes[0].list_rows(table)) == 1


async def test_concurrent_changes_of_one_row_all_happen_once(connect: Connect, table: TableRef) -> None:
    processes, changes = [connect() for _ in range(4)], [new_id("change") for _ in range(8)]
    await Effect(table).run(processes[0])

    def change(work: str) -> Callable[[int], Job]:
        statement = Statement(f"UPDATE `{table}` SET id = id + 1 WHERE TRUE")
        return lambda attempt: QueryJob(f"{work}-{attempt}", statement)

    await asyncio.gather(
        *(
            run_once(processes[i % 4], change(work), deadline_seconds=60, max_attempts=50, clock=SystemClock())
            for i, work in enumerate(changes)
        )
    )
    assert await processes[0].list_rows(table) == [{"id": 9}]


async def test_a_terminal_failure_is_not_tried_again(warehouse: Warehouse, table: TableRef) -> None:
    effect = Effect(table, rows="SELECT no_such_column AS id")
    with pytest.raises(Terminal):
        await effect.run(warehouse)
    assert effect.attempts == [1]


async def test_at_the_deadline_the_job_is_left_to_run(warehouse: Warehouse, table: TableRef) -> None:
    effect = Effect(table, rows=SLOW.replace("AS n", "AS id"))
    with pytest.raises(Transient) as caught:
        await effect.run(warehouse, deadline_seconds=0.5)
    assert not isinstance(caught.value, JobAborted)
    assert effect.attempts == [1]
    with pytest.raises(Transient):
        await warehouse.wait(effect.id_of(1), timeout_seconds=0)
    await warehouse.cancel(effect.id_of(1))
    with pytest.raises(Terminal):
        await warehouse.wait(effect.id_of(1), timeout_seconds=WAIT_SECONDS)


async def test_a_cancelled_caller_cancels_the_job_and_sees_its_end(warehouse: Warehouse, table: TableRef) -> None:
    effect = Effect(table, rows=SLOW.replace("AS n", "AS id"))
    running = asyncio.create_task(effect.run(warehouse))
    async with asyncio.timeout(WAIT_SECONDS):
        while not await submitted(warehouse, effect.id_of(1)):
            continue
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(Terminal):
        await warehouse.wait(effect.id_of(1), timeout_seconds=0)
    assert await warehouse.list_rows(table) == []


async def submitted(warehouse: Warehouse, job_id: str) -> bool:
    try:
        await warehouse.wait(job_id, timeout_seconds=0)
    except ObjectNotFound:
        return False
    except Transient:
        return True
    raise AssertionError("the job ended")
