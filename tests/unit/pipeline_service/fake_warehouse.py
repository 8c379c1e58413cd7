"""A warehouse in memory that a test can hold, break and count. It knows only the statements that PipelineService writes."""

import asyncio
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import date
from typing import Any

from common.errors import ObjectExists, ObjectNotFound, Terminal, Transient
from common.warehouse.columns import Column
from common.warehouse.estimate import Estimate
from common.warehouse.warehouse import (
    Job,
    JobResult,
    LoadJob,
    MergeJob,
    QueryJob,
    ReplaceJob,
    Row,
    Statement,
    Table,
    TableRef,
    TableSpec,
)

Rows = list[dict[str, Any]]
Measure = Callable[[Rows], Mapping[str, Any]]

_CHECK = re.compile(r"WITH checked AS \(SELECT \* FROM `([\w.]+)`(?: WHERE .*?)?\) (.*)")


class FakeWarehouse:
    """Implements what of the port PipelineService uses."""

    def __init__(self) -> None:
        self.tables: dict[str, Rows] = {}
        self.selects: dict[str, Rows] = {}
        """What each SELECT of a step, or of its condition, yields, by its text."""
        self.measures: dict[str, Measure] = {}
        """What each SELECT of a check yields, by its text."""
        self.effects: list[str] = []
        """Ids of the jobs that had an effect, in order."""
        self.failures: dict[str, Exception] = {}
        """How jobs end, by id, instead of having an effect."""
        self.held: defaultdict[str, asyncio.Event] = defaultdict(_set_event)
        """Jobs end once the event under the part of their id behind the run (`step_stage_1`) is set; it is, unless a test clears it."""
        self.began: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        """Set when such a job is submitted."""
        self.cancelled: list[str] = []
        self.bills: defaultdict[str, int] = defaultdict(lambda: 20)
        """Bytes that such a job bills."""
        self.bills_cut_off: dict[str, int] = {}
        """Bytes that such a job has billed when it is cancelled; those of others nobody knows."""
        self.estimates: dict[str, Estimate] = {}
        """What a statement would read, by its text; others read nothing."""
        self.caps: dict[str, int | None] = {}
        """What such a query may bill."""
        self.billing = 0
        """Bytes that were billed by queries that ended, and that those may bill that are at work."""
        self.most_billing = 0
        self.away = False
        self._stopped: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._jobs: dict[str, asyncio.Task[JobResult]] = {}

    async def submit(self, job: Job) -> None:
        self._require_here()
        if job.job_id in self._jobs:
            raise ObjectExists("exists")
        if isinstance(job, QueryJob) and job.destination is not None:
            self.caps[_short(job.job_id)] = job.max_bytes_billed
            self.billing += job.max_bytes_billed or 0
            self.most_billing = max(self.most_billing, self.billing)
        self._jobs[job.job_id] = asyncio.create_task(self._execute(job))
        self.began[_short(job.job_id)].set()

    async def wait(self, job_id: str, *, timeout_seconds: float) -> JobResult:
        self._require_here()
        if job_id not in self._jobs:
            raise ObjectNotFound("no such job")
        try:
            async with asyncio.timeout(timeout_seconds):
                return await asyncio.shield(self._jobs[job_id])
        except TimeoutError as error:
            raise Transient("still runs") from error

    async def cancel(self, job_id: str) -> None:
        self.cancelled.append(_short(job_id))
        self._stopped[job_id].set()

    async def get_table(self, ref: TableRef) -> Table:
        self._require_here()
        if str(ref) not in self.tables:
            raise ObjectNotFound("no such table")
        return Table(ref, TableSpec((Column("day", "DATE"),), "day"), len(self.tables[str(ref)]))

    async def delete_table(self, ref: TableRef) -> None:
        self.tables.pop(str(ref), None)

    async def read(self, statement: Statement, **_: object) -> "FakeRows":
        self._require_here()
        if check := _CHECK.fullmatch(statement.sql):
            return FakeRows([dict(self.measures[check[2]](self._rows(check[1])))])
        if statement.sql in self.selects:
            return FakeRows(self.selects[statement.sql])
        if summed := re.match(r"SELECT COALESCE\(SUM\(bytes_billed\), 0\) AS billed FROM `([\w.]+)`", statement.sql):
            return FakeRows([{"billed": sum(row["bytes_billed"] for row in self._rows(summed[1]))}])
        table = re.match(r"SELECT \* FROM `([\w.]+)`", statement.sql)
        assert table is not None, statement.sql
        wanted = {parameter.name: parameter.value for parameter in statement.parameters}
        return FakeRows([row for row in self._rows(table[1]) if wanted.items() <= row.items()])

    async def estimate(self, statement: Statement) -> Estimate:
        self._require_here()
        return self.estimates.get(statement.sql, Estimate(0, "dry_run"))

    async def close(self) -> None:
        for task in self._jobs.values():
            task.cancel()
        await asyncio.gather(*self._jobs.values(), return_exceptions=True)

    def records(self, table: str) -> Rows:
        """The rows of a record table, whichever tenant's."""
        return [row for name, rows in self.tables.items() if name.endswith(f".{table}") for row in rows]

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the fake has no {name}")

    def _require_here(self) -> None:
        if self.away:
            raise Transient("away")

    def _rows(self, table: str) -> Rows:
        if table not in self.tables:
            raise ObjectNotFound("no such table")
        return self.tables[table]

    async def _execute(self, job: Job) -> JobResult:
        held, stopped = self.held[_short(job.job_id)], self._stopped[job.job_id]
        waiting = [asyncio.ensure_future(event.wait()) for event in (held, stopped)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for future in waiting:
            future.cancel()
        if stopped.is_set():
            raise Terminal("cancelled", bytes_billed=self.bills_cut_off.get(_short(job.job_id)))
        if job.job_id in self.failures or _short(job.job_id) in self.failures:
            raise self.failures.get(job.job_id) or self.failures[_short(job.job_id)]
        assert not isinstance(job, MergeJob | LoadJob)
        billed = self.bills[_short(job.job_id)]
        if isinstance(job, QueryJob) and job.max_bytes_billed is not None:
            if billed > job.max_bytes_billed:
                raise Terminal("over the limit", reason="BYTES_BILLED_LIMIT")
            self.billing -= job.max_bytes_billed - billed
        rows = self._replace(job) if isinstance(job, ReplaceJob) else self._query(job)
        self.effects.append(_short(job.job_id))
        return JobResult(job.job_id, rows, bytes_processed=10, bytes_billed=billed)

    def _replace(self, job: ReplaceJob) -> int:
        rows = self._rows(str(job.source))
        kept = self.tables.get(str(job.destination), []) if job.partition else []
        self.tables[str(job.destination)] = [row for row in kept if row["day"] != job.partition] + rows
        return len(rows)

    def _query(self, job: QueryJob) -> int:
        if job.destination is not None:
            self.tables[str(job.destination.table)] = list(self.selects[job.statement.sql])
            return len(self.selects[job.statement.sql])
        return self._write(job.statement.sql, {p.name: p.value for p in job.statement.parameters})

    def _write(self, sql: str, values: Mapping[str, Any]) -> int:
        verb, table = re.match(r"(INSERT INTO|MERGE) `([\w.]+)`", sql).groups()  # type: ignore[union-attr]
        rows = self.tables.setdefault(table, [])
        if verb == "INSERT INTO":
            numbers = sorted({name.rsplit("_", 1)[1] for name in values})
            rows += [
                {name.rsplit("_", 1)[0]: value for name, value in values.items() if name.rsplit("_", 1)[1] == number}
                for number in numbers
            ]
            return len(numbers)
        found = [row for row in rows if row["pipeline_logging_id"] == values["pipeline_logging_id"]]
        if found and "WHEN MATCHED" in sql:
            if "end_time IS NULL" not in sql or found[0].get("end_time") is None:
                found[0].update(values)
        elif not found:
            rows.append(dict(values))
        return 1


class FakeRows:
    """A stream of one page."""

    bytes_processed = 5
    bytes_billed = 7
    columns: tuple[Column, ...] = ()

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    async def __aiter__(self) -> AsyncIterator[Sequence[Row]]:
        if self._rows:
            yield self._rows

    async def close(self) -> None:
        pass


def _short(job_id: str) -> str:
    return job_id.split("_", 1)[1]


def _set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


DAY = date(2025, 11, 15)
