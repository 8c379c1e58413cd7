"""A warehouse whose calls and jobs are told.

A job is told of with each wait for it, from its submission on: once, where one wait sees it end.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager

from opentelemetry.trace import Span

from common.credentials.accounts import AccountWarehouses
from common.credentials.service_account import ServiceAccountKey
from common.errors import JobAborted, ObjectExists, Terminal
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
from common.warehouse.warehouse_telemetry import Submitted, WarehouseTelemetry

_MOST_SUBMITTED = 10_000


class TracedWarehouse:
    """A Warehouse that does what the one behind it does."""

    def __init__(self, warehouse: Warehouse, telemetry: WarehouseTelemetry) -> None:
        self._warehouse = warehouse
        self._telemetry = telemetry
        self._submitted: OrderedDict[str, Submitted] = OrderedDict()

    @property
    def writers_per_table(self) -> int | None:
        """See Warehouse."""
        return self._warehouse.writers_per_table

    async def create_dataset(
        self, dataset_id: str, *, location: str, labels: Mapping[str, str], description: str = ""
    ) -> Dataset:
        """See Warehouse."""
        with self._telemetry.operation("create_dataset", dataset_id):
            return await self._warehouse.create_dataset(
                dataset_id, location=location, labels=labels, description=description
            )

    async def get_dataset(self, dataset_id: str) -> Dataset:
        """See Warehouse."""
        with self._telemetry.operation("get_dataset", dataset_id):
            return await self._warehouse.get_dataset(dataset_id)

    async def set_labels(self, dataset: Dataset, labels: Mapping[str, str]) -> Dataset:
        """See Warehouse."""
        with self._telemetry.operation("set_labels", dataset.dataset_id):
            return await self._warehouse.set_labels(dataset, labels)

    async def list_datasets(self, *, label: str) -> Sequence[Dataset]:
        """See Warehouse."""
        with self._telemetry.operation("list_datasets"):
            return await self._warehouse.list_datasets(label=label)

    async def create_table(self, ref: TableRef, spec: TableSpec) -> None:
        """See Warehouse."""
        with self._telemetry.operation("create_table", str(ref)):
            await self._warehouse.create_table(ref, spec)

    async def get_table(self, ref: TableRef) -> Table:
        """See Warehouse."""
        with self._telemetry.operation("get_table", str(ref)):
            return await self._warehouse.get_table(ref)

    async def add_columns(self, ref: TableRef, columns: Sequence[Column]) -> None:
        """See Warehouse."""
        with self._telemetry.operation("add_columns", str(ref)):
            await self._warehouse.add_columns(ref, columns)

    async def list_tables(self, dataset_id: str) -> Sequence[TableRef]:
        """See Warehouse."""
        with self._telemetry.operation("list_tables", dataset_id):
            return await self._warehouse.list_tables(dataset_id)

    async def delete_table(self, ref: TableRef) -> None:
        """See Warehouse."""
        with self._telemetry.operation("delete_table", str(ref)):
            await self._warehouse.delete_table(ref)

    async def create_or_replace_view(self, ref: TableRef, select: str) -> None:
        """See Warehouse."""
        with self._telemetry.operation("create_or_replace_view", str(ref)):
            await self._warehouse.create_or_replace_view(ref, select)

    async def list_rows(self, ref: TableRef) -> Sequence[Row]:
        """See Warehouse."""
        with self._telemetry.operation("list_rows", str(ref)):
            return await self._warehouse.list_rows(ref)

    async def submit(self, job: Job) -> None:
        """See Warehouse. The spans of the waits for the job begin here."""
        submitted = Submitted(_operation(job), _table(job))
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
        submitted = self._submitted.get(job_id) or Submitted("job", "")
        with self._job(job_id, submitted) as span:
            try:
                result = await self._warehouse.wait(job_id, timeout_seconds=timeout_seconds)
            except (JobAborted, Terminal):
                self._submitted.pop(job_id, None)
                raise
            self._telemetry.read(
                submitted.operation, span, processed=result.bytes_processed, billed=result.bytes_billed
            )
            span.set_attribute("convergence.rows", result.rows)
        self._submitted.pop(job_id, None)
        return result

    async def cancel(self, job_id: str) -> None:
        """See Warehouse."""
        with self._telemetry.operation("cancel", about={"convergence.job_id": job_id}):
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
        with self._telemetry.operation("read") as span:
            stream = await self._warehouse.read(
                statement,
                page_size=page_size,
                max_bytes_billed=max_bytes_billed,
                labels=labels,
                timeout_seconds=timeout_seconds,
            )
            self._telemetry.read("read", span, processed=stream.bytes_processed, billed=stream.bytes_billed)
            return stream

    async def estimate(self, statement: Statement) -> Estimate:
        """See Warehouse."""
        with self._telemetry.operation("estimate"):
            return await self._warehouse.estimate(statement)

    async def close(self) -> None:
        """See Warehouse."""
        await self._warehouse.close()

    def _note(self, job_id: str, submitted: Submitted) -> None:
        self._submitted[job_id] = submitted
        while len(self._submitted) > _MOST_SUBMITTED:
            self._submitted.popitem(last=False)

    @contextmanager
    def _job(self, job_id: str, submitted: Submitted) -> Iterator[Span]:
        about: dict[str, str | bool] = {"convergence.job_id": job_id, "convergence.attached": submitted.attached}
        with self._telemetry.operation(submitted.operation, submitted.table, since=submitted, about=about) as span:
            yield span


class TracedAccounts:
    """AccountWarehouses that tell, too."""

    def __init__(self, accounts: AccountWarehouses, telemetry: WarehouseTelemetry) -> None:
        self._accounts = accounts
        self._telemetry = telemetry

    @asynccontextmanager
    async def open(self, key: ServiceAccountKey) -> AsyncIterator[Warehouse]:
        """See AccountWarehouses."""
        async with self._accounts.open(key) as warehouse:
            yield TracedWarehouse(warehouse, self._telemetry)


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
