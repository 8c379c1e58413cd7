"""The warehouse port over the local warehouse server (`local_stack.warehouse`), which keeps everything in one DuckDB file."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from common.errors import Transient
from common.secret import Secret
from common.settings import is_loopback
from common.warehouse import local_wire as wire
from common.warehouse.columns import Column
from common.warehouse.estimate import Estimate
from common.warehouse.local_flight import FlightConnection
from common.warehouse.local_rows import LocalRows, all_rows
from common.warehouse.warehouse import (
    Dataset,
    Job,
    JobResult,
    LoadJob,
    QueryJob,
    ReplaceJob,
    Row,
    RowStream,
    Statement,
    Table,
    TableRef,
    TableSpec,
)

T = TypeVar("T")
WAIT_SLICE_SECONDS = 1.0
"""How long one call of `wait` may hold a thread; a longer wait is several calls."""
RUNNING = b"null"


class LocalWarehouse:
    """Connects at the first call; runs blocking calls in at most `threads` threads of its own, and as many that wait for jobs."""

    def __init__(
        self,
        address: str,
        token: Secret,
        *,
        allow_plaintext: bool = False,
        deadline_seconds: float = 5.0,
        threads: int = 64,
    ) -> None:
        if not allow_plaintext and not is_loopback(address):
            raise ValueError("the local warehouse is beyond the loopback address and plaintext is not allowed there")
        self._flight = FlightConnection(address, token)
        self._deadline_seconds = deadline_seconds
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="warehouse")
        self._waiting_threads = ThreadPoolExecutor(threads, thread_name_prefix="warehouse-wait")

    @property
    def writers_per_table(self) -> None:
        """Parts of a table are written side by side."""
        return

    async def create_dataset(
        self, dataset_id: str, *, location: str, labels: Mapping[str, str], description: str = ""
    ) -> Dataset:
        """Create a dataset, atomically. Raises ObjectExists."""
        return wire.decode(Dataset, await self._ask(wire.CreateDataset(dataset_id, location, labels, description)))

    async def get_dataset(self, dataset_id: str) -> Dataset:
        """Read a dataset. Raises ObjectNotFound."""
        return wire.decode(Dataset, await self._ask(wire.GetDataset(dataset_id)))

    async def set_labels(self, dataset: Dataset, labels: Mapping[str, str]) -> Dataset:
        """Set these labels beside the others. Raises PreconditionLost, ObjectNotFound."""
        return wire.decode(Dataset, await self._ask(wire.SetLabels(dataset.dataset_id, dataset.etag, labels)))

    async def list_datasets(self, *, label: str) -> Sequence[Dataset]:
        """All datasets that carry the label key `label`."""
        return wire.decode(list[Dataset], await self._ask(wire.ListDatasets(label)))

    async def create_table(self, ref: TableRef, spec: TableSpec) -> None:
        """Create an empty table. Raises ObjectExists, ObjectNotFound (its dataset)."""
        await self._ask(wire.CreateTable(ref, spec))

    async def get_table(self, ref: TableRef) -> Table:
        """Read a table's description. Raises ObjectNotFound."""
        return wire.decode(Table, await self._ask(wire.GetTable(ref)))

    async def add_columns(self, ref: TableRef, columns: Sequence[Column]) -> None:
        """Add the columns that the table lacks. Raises ObjectNotFound, Terminal for one that is REQUIRED."""
        await self._ask(wire.AddColumns(ref, tuple(columns)))

    async def list_tables(self, dataset_id: str) -> Sequence[TableRef]:
        """Every table and view of a dataset. Raises ObjectNotFound."""
        return wire.decode(list[TableRef], await self._ask(wire.ListTables(dataset_id)))

    async def delete_table(self, ref: TableRef) -> None:
        """Delete a table or view; one that does not exist is no error."""
        await self._ask(wire.DeleteTable(ref))

    async def create_or_replace_view(self, ref: TableRef, select: str) -> None:
        """Make a view of a SELECT, or replace one. Raises Terminal."""
        await self._ask(wire.PutView(ref, select))

    async def list_rows(self, ref: TableRef) -> Sequence[Row]:
        """All rows of a small table. Raises ObjectNotFound."""
        return await self._run(self._list_rows, ref)

    async def submit(self, job: Job) -> None:
        """Start a job. Raises ObjectExists when the id was ever used."""
        if isinstance(job, QueryJob):
            await self._ask(wire.SubmitQuery(replace(job, statement=wire.portable(job.statement))))
        elif isinstance(job, LoadJob):
            await self._ask(wire.SubmitLoad(job))
        elif isinstance(job, ReplaceJob):
            await self._ask(wire.SubmitReplace(job))
        else:
            await self._ask(wire.SubmitMerge(job))

    async def wait(self, job_id: str, *, timeout_seconds: float) -> JobResult:
        """Wait until a job ends. Raises JobAborted, Terminal, ObjectNotFound; Transient when it still runs or the server is away."""
        end = time.monotonic() + timeout_seconds
        while True:
            left = max(0.0, end - time.monotonic())
            seconds = min(left, WAIT_SLICE_SECONDS)
            ask = partial(
                self._flight.act, wire.WaitJob(job_id, seconds), deadline_seconds=self._deadline_seconds + seconds
            )
            answer = await asyncio.get_running_loop().run_in_executor(self._waiting_threads, ask)
            if answer != RUNNING:
                return wire.decode(JobResult, answer)
            if left <= WAIT_SLICE_SECONDS:
                raise Transient(f"The job still runs after {timeout_seconds:g} seconds")

    async def cancel(self, job_id: str) -> None:
        """Ask a job to stop. One that ended or is not known is no error."""
        await self._ask(wire.CancelJob(job_id))

    async def read(
        self,
        statement: Statement,
        *,
        page_size: int = 1000,
        max_bytes_billed: int | None = None,
        labels: Mapping[str, str] | None = None,  # noqa: ARG002  nothing is billed here
        timeout_seconds: float = 60.0,
    ) -> RowStream:
        """Run a SELECT and stream its rows; `timeout_seconds` is for the whole stream."""
        ticket = wire.Read(wire.portable(statement), page_size, max_bytes_billed, timeout_seconds)
        return await self._run(self._open, ticket, page_size, timeout_seconds)

    async def estimate(self, statement: Statement) -> Estimate:
        """What a SELECT is said to read, by the sizes of the tables that it names. Raises Terminal for one that does not compile."""
        return wire.decode(Estimate, await self._ask(wire.EstimateBytes(wire.portable(statement))))

    async def close(self) -> None:
        """Release the connection and the threads."""
        await asyncio.get_running_loop().run_in_executor(None, self._flight.close)
        for threads in (self._threads, self._waiting_threads):
            threads.shutdown(wait=False, cancel_futures=True)

    def _open(self, ticket: wire.Read, page_size: int, timeout_seconds: float) -> RowStream:
        stream = self._flight.get(ticket, deadline_seconds=timeout_seconds + self._deadline_seconds)
        return LocalRows.opened(stream, self._run, page_size=page_size)

    def _list_rows(self, ref: TableRef) -> list[Row]:
        return all_rows(self._flight.get(wire.ListRows(ref), deadline_seconds=self._deadline_seconds))

    async def _ask(self, request: Any) -> bytes:
        return await self._run(self._flight.act, request, deadline_seconds=self._deadline_seconds)

    async def _run(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(function, *args, **kwargs))
