"""An effect happens once under its id, whatever becomes of those who asked for it. On both warehouses."""

import asyncio
import uuid
from typing import Any

import pytest

from common.clock import SystemClock
from common.errors import JobAborted, Terminal
from common.warehouse.columns import Column
from common.warehouse.effects import Effects
from common.warehouse.warehouse import JobResult, Parameter, Statement, TableRef, TableSpec, Warehouse
from tests.passing_on import PassingOn


class Waiting(PassingOn):
    """A warehouse whose first waits do as they are told; everything else is the real one."""

    def __init__(self, warehouse: Warehouse, *waits: Any) -> None:
        super().__init__(warehouse)
        self._waits = list(waits)
        self.waited = asyncio.Event()

    async def wait(self, job_id: str, *, timeout_seconds: float) -> JobResult:
        self.waited.set()
        if not self._waits:
            return await self.warehouse.wait(job_id, timeout_seconds=timeout_seconds)
        wait = self._waits.pop(0)
        if isinstance(wait, Exception):
            raise wait
        await asyncio.Event().wait()
        raise AssertionError


@pytest.fixture
async def table(warehouse: Warehouse) -> TableRef:
    ref = TableRef(f"t_{uuid.uuid4().hex[:16]}", "rows")
    await warehouse.create_dataset(ref.dataset, location="US", labels={})
    await warehouse.create_table(ref, TableSpec((Column("n", "INT64"),)))
    return ref


def insert(table: TableRef) -> Statement:
    return Statement(f"INSERT INTO `{table}` (n) VALUES (@n)", (Parameter("n", "INT64", 1),))


async def test_a_caller_who_hangs_up_does_not_use_up_the_effect(warehouse: Warehouse, table: TableRef) -> None:
    hanging: Any = Waiting(warehouse, "for ever")
    effect_id = f"effect_{uuid.uuid4().hex}"
    calling = asyncio.create_task(Effects(hanging, SystemClock()).run(effect_id, insert(table)))
    await hanging.waited.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    await Effects(warehouse, SystemClock()).run(effect_id, insert(table))
    assert len(await warehouse.list_rows(table)) == 1


async def test_passing_faults_do_not_use_up_the_effect_however_many_there_were(
    warehouse: Warehouse, table: TableRef
) -> None:
    faulty: Any = Waiting(warehouse, *(JobAborted("a passing fault") for _ in range(6)))
    await Effects(faulty, SystemClock()).run(f"effect_{uuid.uuid4().hex}", insert(table))


async def test_an_effect_that_was_refused_happens_when_it_is_asked_for_after_the_cause_was_mended(
    warehouse: Warehouse, table: TableRef
) -> None:
    effects, effect_id = Effects(warehouse, SystemClock()), f"effect_{uuid.uuid4().hex}"
    later = TableRef(table.dataset, "later")
    for _ in range(2):
        with pytest.raises(Terminal):
            await effects.run(effect_id, insert(later))
    await warehouse.create_table(later, TableSpec((Column("n", "INT64"),)))
    for _ in range(2):
        assert (await effects.run(effect_id, insert(later))).rows == 1
    assert len(await warehouse.list_rows(later)) == 1
