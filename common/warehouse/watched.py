"""A warehouse whose calls and jobs are told: a span for each within a trace, how long it took, bytes that it read and that are billed.

A job is told of with each wait for it, from its submission on: once, where one wait sees it end.
Names of datasets, tables and jobs are told; statements and the values in them are not.
"""

import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, Status, StatusCode, get_current_span

from common.credentials.accounts import AccountWarehouses
from common.credentials.service_account import ServiceAccountKey
from common.errors import JobAborted, ObjectExists, ObjectNotFound, Terminal
from common.telemetry.telemetry import Telemetry
from common.warehouse.columns import Column
from common.warehouse.estimate import Estimate
from common.warehouse.warehouse import (
    Dataset,
    Job,
    JobResult,
    LoadJob,
    MergeJob,
    ReplaceJob,
    Row,
    RowStream,
    Statement,
    Table,
    TableRef,
    TableSpec,
    Warehouse,
)

Attributes = Mapping[str, str | bool]
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600)
"""Bounds of the histogram."""
_MOST_SUBMITTED = 10_000
_ANSWERS = (ObjectNotFound, ObjectExists)
"""Errors that are answers: what there is, and what there is not."""


@dataclass(slots=True)
class _Submitted:
    """A job that is waited for: what it is, and since when, in nanoseconds of the clock of the day and seconds of the monotonic one."""

    operation: str
    table: str
    attached: bool = False
    began_ns: int = field(default_factory=time.time_ns)
    began: float = field(default_factory=time.monotonic)


class Warehouses:
    """Tells of one warehouse, whichever account calls it."""

    def __init__(self, telemetry: Telemetry, system: str) -> None:
        """`system` is what the conventions are to call it: `bigquery`, `local`."""
        meter = telemetry.meter
        self.tracer = telemetry.tracer
        self.system = system
        self._durations = meter.create_histogram(
            "db.client.operation.duration",
            "s",
            "How long calls of the warehouse took, and each wait for a job from its submission on",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self._processed = meter.create_counter(
            "convergence.warehouse.bytes_processed", "By", "Bytes that jobs and reads have processed"
        )
        self._billed = meter.create_counter(
            "convergence.warehouse.bytes_billed", "By", "Bytes that are billed for jobs and reads"
        )

    @contextmanager
    def operation(
        self, operation: str, target: str = "", *, since: _Submitted | None = None, about: Attributes | None = None
    ) -> Iterator[Span]:
        """Tell of what is done within, `since` before where it began then. What is raised is told of by its reason."""
        measured = {"db.system.name": self.system, "db.operation.name": operation}
        collection = {"db.collection.name": target} if target else {}
        began = since.began if since else time.monotonic()
        span = self._begin(operation, {**measured, **collection, **(about or {})}, since)
        outcome: dict[str, str] = {}
        try:
            yield span
        except _ANSWERS as answer:
            outcome = {"error.type": type(answer).__name__}
            raise
        except BaseException as error:
            outcome = {"error.type": error.reason if isinstance(error, Terminal) else type(error).__name__}
            if isinstance(error, Exception):
                span.set_status(Status(StatusCode.ERROR))
            raise
        finally:
            span.set_attributes(outcome)
            span.end()
            self._durations.record(time.monotonic() - began, {**measured, **outcome})

    def read(self, operation: str, span: Span, *, processed: int, billed: int) -> None:
        """Tell of bytes."""
        about = {"db.system.name": self.system, "db.operation.name": operation}
        self._processed.add(processed, about)
        self._billed.add(billed, about)
        span.set_attributes({"convergence.bytes_processed": processed, "convergence.bytes_billed": billed})

    def _begin(self, operation: str, attributes: Attributes, since: _Submitted | None) -> Span:
        """A span within the current trace; none of its own for what nobody's call or run has caused."""
        if not get_current_span().get_span_context().is_valid:
            return INVALID_SPAN
        start_ns = since.began_ns if since else None
        return self.tracer.start_span(f"warehouse {operation}", None, SpanKind.CLIENT, attributes, start_time=start_ns)


class WatchedWarehouse:
    """A Warehouse that does what the one behind it does."""

    def __init__(self, warehouse: Warehouse, telling: Warehouses) -> None:
        self._warehouse = warehouse
        self._telling = telling
        self._submitted: OrderedDict[str, _Submitted] = OrderedDict()

    @property
    def writers_per_table(self) -> int | None:
        """See Warehouse."""
        return self._warehouse.writers_per_table

    async def create_dataset(
        self, dataset_id: str, *, location: str, labels: Mapping[str, str], description: str = ""
    ) -> Dataset:
        """See Warehouse."""
        with self._telling.operation("create_dataset", dataset_id):
            return await self._warehouse.create_dataset(
                dataset_id, location=location, labels=labels, description=description
            )

    async def get_dataset(self, dataset_id: str) -> Dataset:
        """See Warehouse."""
        with self._telling.operation("get_dataset", dataset_id):
            return await self._warehouse.get_dataset(dataset_id)

    async def set_labels(self, dataset: Dataset, labels: Mapping[str, str]) -> Dataset:
        """See Warehouse."""
        with self._telling.operation("set_labels", dataset.dataset_id):
            return await self._warehouse.set_labels(dataset, labels)

    async def list_datasets(self, *, label: str) -> Sequence[Dataset]:
        """See Warehouse."""
        with self._telling.operation("list_datasets"):
            return await self._warehouse.list_datasets(label=label)

    async def create_table(self, ref: TableRef, spec: TableSpec) -> None:
        """See Warehouse."""
        with self._telling.operation("create_table", str(ref)):
            await self._warehouse.create_table(ref, spec)

    async def get_table(self, ref: TableRef) -> Table:
        """See Warehouse."""
        with self._telling.operation("get_table", str(ref)):
            return await self._warehouse.get_table(ref)

    async def add_columns(self, ref: TableRef, columns: Sequence[Column]) -> None:
        """See Warehouse."""
        with self._telling.operation("add_columns", str(ref)):
            await self._warehouse.add_columns(ref, columns)

    async def list_tables(self, dataset_id: str) -> Sequence[TableRef]:
        """See Warehouse."""
        with self._telling.operation("list_tables", dataset_id):
            return await self._warehouse.list_tables(dataset_id)

    async def delete_table(self, ref: TableRef) -> None:
        """See Warehouse."""
        with self._telling.operation("delete_table", str(ref)):
            await self._warehouse.delete_table(ref)

    async def create_or_replace_view(self, ref: TableRef, select: str) -> None:
        """See Warehouse."""
        with self._telling.operation("create_or_replace_view", str(ref)):
            await self._warehouse.create_or_replace_view(ref, select)

    async def list_rows(self, ref: TableRef) -> Sequence[Row]:
        """See Warehouse."""
        with self._telling.operation("list_rows", str(ref)):
            return await self._warehouse.list_rows(ref)

    async def submit(self, job: Job) -> None:
        """See Warehouse. The spans of the waits for the job begin here."""
        submitted = _Submitted(_operation(job), _table(job))
        try:
            await self._warehouse.submit(job)
        except ObjectExists:
            submitted.attached = True
            self._note(job.job_id, submitted)
            raise
        except BaseException:
            with self._job(job.job_id, submitted):
                raise
        self._note(job.job_id, submitted)

    async def wait(self, job_id: str, *, timeout_seconds: float) -> JobResult:
        """See Warehouse. Each wait is told of; what the job is, until one has seen it end. Without that it is a `job`."""
        submitted = self._submitted.get(job_id) or _Submitted("job", "")
        with self._job(job_id, submitted) as span:
            try:
                result = await self._warehouse.wait(job_id, timeout_seconds=timeout_seconds)
            except (JobAborted, Terminal):
                self._submitted.pop(job_id, None)
                raise
            self._telling.read(submitted.operation, span, processed=result.bytes_processed, billed=result.bytes_billed)
            span.set_attribute("convergence.rows", result.rows)
        self._submitted.pop(job_id, None)
        return result

    async def cancel(self, job_id: str) -> None:
        """See Warehouse."""
        with self._telling.operation("cancel", about={"convergence.job_id": job_id}):
            await self._warehouse.cancel(job_id)

    async def read(
        self,
        statement: Statement,
        *,
        page_size: int = 1000,
        max_bytes_billed: int | None = None,
        labels: Mapping[str, str] | None = None,
        timeout_seconds: float = 60.0,
    ) -> RowStream:
        """See Warehouse. The span ends with the first page."""
        with self._telling.operation("read") as span:
            stream = await self._warehouse.read(
                statement,
                page_size=page_size,
                max_bytes_billed=max_bytes_billed,
                labels=labels,
                timeout_seconds=timeout_seconds,
            )
            self._telling.read("read", span, processed=stream.bytes_processed, billed=stream.bytes_billed)
            return stream

    async def estimate(self, statement: Statement) -> Estimate:
        """See Warehouse."""
        with self._telling.operation("estimate"):
            return await self._warehouse.estimate(statement)

    async def close(self) -> None:
        """See Warehouse."""
        await self._warehouse.close()

    def _note(self, job_id: str, submitted: _Submitted) -> None:
        self._submitted[job_id] = submitted
        while len(self._submitted) > _MOST_SUBMITTED:
            self._submitted.popitem(last=False)

    @contextmanager
    def _job(self, job_id: str, submitted: _Submitted) -> Iterator[Span]:
        about: dict[str, str | bool] = {"convergence.job_id": job_id, "convergence.attached": submitted.attached}
        with self._telling.operation(submitted.operation, submitted.table, since=submitted, about=about) as span:
            yield span


class WatchedAccounts:
    """AccountWarehouses that tell, too."""

    def __init__(self, accounts: AccountWarehouses, telling: Warehouses) -> None:
        self._accounts = accounts
        self._telling = telling

    @asynccontextmanager
    async def open(self, key: ServiceAccountKey) -> AsyncIterator[Warehouse]:
        """See AccountWarehouses."""
        async with self._accounts.open(key) as warehouse:
            yield WatchedWarehouse(warehouse, self._telling)


def _operation(job: Job) -> str:
    if isinstance(job, ReplaceJob):
        return "replace"
    if isinstance(job, MergeJob):
        return "merge"
    return "load" if isinstance(job, LoadJob) else "query"


def _table(job: Job) -> str:
    """Where the job puts its rows; empty for one that puts none anywhere."""
    if isinstance(job, ReplaceJob | MergeJob):
        return str(job.destination)
    return str(job.destination.table) if job.destination else ""
