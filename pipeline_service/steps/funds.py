"""What an attempt at a step may bill, where its run has a budget: each job by what was reserved for it, and all that is only read together.

A statement for which nothing is reserved is not run: the attempt ends with MoreBytesWanted, and is made again once there is.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from common.errors import JobAborted, Terminal
from common.for_each import map_each
from common.warehouse.estimate import MINIMUM_BILLED_BYTES
from common.warehouse.warehouse import Statement, TableRef, Warehouse
from pipeline_service.step_errors import StepFailed
from pipeline_service.step_result import WantedBytes

READS = "reads"
"""What is reserved for a step's condition, or for its checks and their samples. What is reserved for a job has the name of its effect."""
_BOUNDS = frozenset({"dry_run", "dry_run_at_most", "table_sizes"})
"""Bases of estimates that a statement does not exceed, unless a table grows meanwhile."""
_AT_ONCE = 8


class MoreBytesWanted(Exception):
    """What the statements that come next may bill has to be reserved first."""

    def __init__(self, wanted: Mapping[str, WantedBytes]) -> None:
        super().__init__("more bytes have to be reserved")
        self.wanted = dict(wanted)


async def most_billed(warehouse: Warehouse, statement: Statement, cap: int | None) -> WantedBytes:
    """What a statement may bill at most, as a dry run or its own `cap` tells; open where neither does. At least ten megabytes are billed
    for each table, also for those behind views. Raises Transient, Terminal."""
    estimate = await warehouse.estimate(statement)
    minimum = max(estimate.tables, 1) * MINIMUM_BILLED_BYTES
    if estimate.bytes_processed is None:
        bound: int | None = minimum  # a table is missing: the statement fails, and bills nothing
    else:
        bound = estimate.bytes_processed + minimum if estimate.basis in _BOUNDS else None
    known = [size for size in (bound, cap) if size is not None]
    return WantedBytes(min(known)) if known else WantedBytes(minimum, is_open=True)


async def most_billed_by_merge(warehouse: Warehouse, source: TableRef, target: TableRef) -> WantedBytes:
    """What merging one table into another may bill at most. A MERGE bills the columns that it reads of both, and all columns of the table
    that it changes: https://cloud.google.com/bigquery/docs/data-manipulation-language#calculate_bytes_processed_merge; ours reads both
    twice, and its check of the keys the source twice. Raises Transient, Terminal."""
    estimates = [await warehouse.estimate(Statement(f"SELECT * FROM `{table}`")) for table in (source, target)]
    read, changed = (estimate.bytes_processed or 0 for estimate in estimates)
    return WantedBytes(4 * read + 3 * changed + 4 * MINIMUM_BILLED_BYTES)


@dataclass
class Taken:
    """What one statement that is read may bill, None for no limit, and, once that is known, what it has billed."""

    most: int | None
    billed: int | None = None

    def settle(self, billed: int | None) -> None:
        """Note what it has billed, None where nobody knows."""
        self.billed = billed


class Funds:
    """The bytes that are reserved for an attempt, by purpose, and what it has billed of them."""

    def __init__(self, granted: Mapping[str, int]) -> None:
        self._granted = granted
        self._free = granted.get(READS, 0)
        self._readers = 0
        self._changed = asyncio.Condition()
        self._wanted: dict[str, WantedBytes] = {}
        self.billed: dict[str, int] = {READS: 0} if READS in granted else {}
        """By the jobs that ended, and by all that was read: what has no known end counts with all that it may have billed."""
        self.unsure: set[str] = set()
        """The jobs that were begun, and whose end the attempt has not seen."""

    async def for_job(self, effect: str, bound: Callable[[], Awaitable[WantedBytes]]) -> int:
        """What a job may bill; `bound` reckons what it may want. Raises MoreBytesWanted and what `bound` raises."""
        if effect not in self._granted:
            raise MoreBytesWanted({effect: await bound()})
        return self._granted[effect]

    async def for_reads(self, warehouse: Warehouse, statements: Iterable[Statement], cap: int | None) -> None:
        """Let all these statements be read. Raises MoreBytesWanted, Transient, Terminal."""
        asked = list(statements)
        wanted = await map_each(asked, lambda statement: most_billed(warehouse, statement, cap), at_once=_AT_ONCE)
        self._wanted = {statement.sql: one for statement, one in zip(asked, wanted, strict=True)}
        total = sum(one.least for one in wanted)
        # Beginning again after an outage, what was cut off counts as billed, and may leave too little for all of them.
        if READS not in self._granted or (self.billed[READS] and total > self._free):
            raise MoreBytesWanted({READS: WantedBytes(total, is_open=any(one.is_open for one in wanted))})

    @asynccontextmanager
    async def job(self, effect: str, most: int, cap: int | None) -> AsyncIterator[Taken]:
        """Run a job within, and say what it has billed. One that was aborted has billed nothing, and one that failed for good what its
        error says; after any other failure nobody knows. Raises StepFailed, reason BUDGET_EXCEEDED."""
        taken = Taken(most)
        try:
            yield taken
        except (Terminal, JobAborted) as error:
            taken.billed = error.bytes_billed if isinstance(error, Terminal) else 0
            _refuse_for_budget(error, most, cap)
            raise
        finally:
            if taken.billed is None:
                self.unsure.add(effect)
            else:
                self.unsure.discard(effect)
                self.billed[effect] = taken.billed

    @asynccontextmanager
    async def reading(self, statement: Statement, cap: int | None) -> AsyncIterator[Taken]:
        """Read a statement within, one of those that `for_reads` was told of, and say what it has billed. Those whose bounds are known are
        read at the same time. Raises StepFailed, reason BUDGET_EXCEEDED."""
        wanted = self._wanted[statement.sql]
        async with self._changed:
            await self._changed.wait_for(
                lambda: not self._readers or (not wanted.is_open and wanted.least <= self._free)
            )
            most = self._free if wanted.is_open else min(wanted.least, self._free)
            if most < MINIMUM_BILLED_BYTES:
                raise StepFailed("BUDGET_EXCEEDED", "The step's checks bill more than was reserved for them")
            self._count(-most, readers=1)
        taken = Taken(most)
        try:
            yield taken
        except Terminal as error:
            taken.billed = error.bytes_billed
            _refuse_for_budget(error, most, cap)
            raise
        finally:
            async with self._changed:
                self._count(0 if taken.billed is None else most - taken.billed, readers=-1)
                self._changed.notify_all()

    def _count(self, freed: int, *, readers: int) -> None:
        self._free += freed
        self.billed[READS] -= freed
        self._readers += readers


def _refuse_for_budget(error: Terminal | JobAborted, most: int, cap: int | None) -> None:
    """Say that the budget is to blame, and not the cap of the template, where it is. Raises StepFailed, reason BUDGET_EXCEEDED."""
    if error.reason == "BYTES_BILLED_LIMIT" and (cap is None or most < cap):
        raise StepFailed(
            "BUDGET_EXCEEDED", f"A statement would bill more than the {most} bytes that were reserved for it"
        ) from error
