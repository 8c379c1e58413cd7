"""The warehouse port over BigQuery, through google-cloud-bigquery. Production's adapter.

Datasets and tables are here; jobs, publications, rows, types and errors have files of their own, `bigquery_*.py`.
"""

import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from google.auth.credentials import Credentials
from google.cloud import bigquery

from common.errors import ObjectExists, ObjectNotFound, PreconditionLost, Terminal, Transient
from common.warehouse.bigquery_calls import BigQueryCalls
from common.warehouse.bigquery_jobs import BigQueryJobs
from common.warehouse.bigquery_merge import BigQueryMerge
from common.warehouse.bigquery_replace import BigQueryReplacement
from common.warehouse.bigquery_rows import BigQueryRows, all_rows
from common.warehouse.bigquery_types import new_table, reference, schema_field, spec
from common.warehouse.columns import Column
from common.warehouse.estimate import Estimate
from common.warehouse.warehouse import (
    Dataset,
    Job,
    JobResult,
    LoadJob,
    MergeJob,
    QueryJob,
    ReplaceJob,
    Row,
    RowStream,
    Statement,
    Table,
    TableRef,
    TableSpec,
)

SCOPE = "https://www.googleapis.com/auth/bigquery"
_MOST_PATCHES = 20
"""How often a table's columns are added anew because another call changed the table in between."""
_UNSET_TIME = datetime.fromtimestamp(0, UTC)


class BigQueryWarehouse:
    """One project and location. `credentials` are Google's default ones in production.

    `deadline_seconds` bounds each call of the API, retries included; `threads` are the calls under way at once, the others queue.
    """

    def __init__(
        self,
        *,
        project: str,
        location: str,
        credentials: Credentials,
        api_endpoint: str | None = None,
        deadline_seconds: float = 15.0,
        threads: int = 32,
    ) -> None:
        self._calls = BigQueryCalls(
            project=project,
            location=location,
            credentials=credentials,
            api_endpoint=api_endpoint,
            deadline_seconds=deadline_seconds,
            threads=threads,
        )
        self._client = self._calls.client
        self._jobs = BigQueryJobs(self._calls)

    @property
    def writers_per_table(self) -> int:
        """2 mutating statements run on one table at once, up to 20 more queue, and the next fails:
        https://cloud.google.com/bigquery/docs/data-manipulation-language#update_delete_merge_dml_concurrency"""
        return 2

    async def create_dataset(
        self, dataset_id: str, *, location: str, labels: Mapping[str, str], description: str = ""
    ) -> Dataset:
        """Create a dataset: datasets.insert is atomic. Raises ObjectExists, also where an answer was lost and the call repeated."""
        wanted = bigquery.Dataset(bigquery.DatasetReference(self._client.project, dataset_id))
        wanted.location = location
        wanted.labels = dict(labels)
        if description:
            wanted.description = description
        return _dataset(await self._calls.run(self._client.create_dataset, wanted))

    async def get_dataset(self, dataset_id: str) -> Dataset:
        """Read a dataset. Raises ObjectNotFound."""
        name = bigquery.DatasetReference(self._client.project, dataset_id)
        return _dataset(await self._calls.run(self._client.get_dataset, name))

    async def set_labels(self, dataset: Dataset, labels: Mapping[str, str]) -> Dataset:
        """Set labels under `If-Match` of the dataset's etag. Raises PreconditionLost, ObjectNotFound."""
        if not dataset.etag:
            raise PreconditionLost("The dataset was listed, not read: its etag is not known")
        name = bigquery.DatasetReference(self._client.project, dataset.dataset_id)
        changed = bigquery.Dataset.from_api_repr(
            {
                "datasetReference": name.to_api_repr(),
                "labels": {**dataset.labels, **labels},
                "etag": dataset.etag,
            }
        )
        return _dataset(await self._calls.run(self._client.update_dataset, changed, ["labels"]))

    async def list_datasets(self, *, label: str) -> Sequence[Dataset]:
        """All datasets that carry the label key; their `create_time`, `location` and `etag` are unset."""

        def listed(**limits: Any) -> list[Dataset]:
            items = self._client.list_datasets(filter=f"labels.{label}", **limits)
            return [Dataset(item.dataset_id, "", dict(item.labels), _UNSET_TIME, "") for item in items]

        return await self._calls.run(listed)

    async def create_table(self, ref: TableRef, spec: TableSpec) -> None:
        """Create an empty table. Raises ObjectExists, ObjectNotFound (its dataset)."""
        await self._calls.run(self._client.create_table, new_table(self._reference(ref), spec))

    async def get_table(self, ref: TableRef) -> Table:
        """Read a table's description. Raises ObjectNotFound."""
        table = await self._calls.run(self._client.get_table, self._reference(ref))
        return Table(ref=ref, spec=spec(table), row_count=int(table.num_rows or 0), expire_time=table.expires)

    async def add_columns(self, ref: TableRef, columns: Sequence[Column]) -> None:
        """Add the columns that the table lacks: tables.patch of its schema, under its etag, since a schema is replaced as a whole.

        Raises ObjectNotFound, Terminal for one that is REQUIRED, Transient where others change the table all the time.
        """
        for _ in range(_MOST_PATCHES):
            table = await self._calls.run(self._client.get_table, self._reference(ref))
            known = {field.name.lower() for field in table.schema}
            missing = [schema_field(column) for column in columns if column.name.lower() not in known]
            if not missing:
                return
            table.schema = [*table.schema, *missing]
            with suppress(PreconditionLost):
                await self._calls.run(self._client.update_table, table, ["schema"])
                return
        raise Transient("Others changed the table each time that its columns were to be added")

    async def list_tables(self, dataset_id: str) -> Sequence[TableRef]:
        """Every table and view of a dataset: tables.list knows both. Raises ObjectNotFound."""
        name = bigquery.DatasetReference(self._client.project, dataset_id)

        def listed(**limits: Any) -> list[TableRef]:
            return [TableRef(dataset_id, item.table_id) for item in self._client.list_tables(name, **limits)]

        return await self._calls.run(listed)

    async def delete_table(self, ref: TableRef) -> None:
        """Delete a table or view; one that does not exist is no error."""
        with suppress(ObjectNotFound):
            await self._calls.run(self._client.delete_table, self._reference(ref))

    async def create_or_replace_view(self, ref: TableRef, select: str) -> None:
        """tables.insert and, where a view of that name exists, tables.patch of its query: each is atomic. Raises Terminal."""
        view = bigquery.Table(self._reference(ref))
        view.view_query = select
        try:
            try:
                await self._calls.run(self._client.create_table, view)
            except ObjectExists:
                found = await self._calls.run(self._client.get_table, self._reference(ref))
                if found.table_type != "VIEW":
                    raise Terminal("A table of that name exists: no view can take its place") from None
                await self._calls.run(self._client.update_table, view, ["view_query"])
        except ObjectNotFound as error:
            raise Terminal("A table or dataset that the view reads does not exist") from error

    async def list_rows(self, ref: TableRef) -> Sequence[Row]:
        """All rows of a small table by tabledata.list: no job, nothing billed. Raises ObjectNotFound."""
        return await self._calls.run(all_rows, self._client, self._reference(ref))

    async def submit(self, job: Job) -> None:
        """Start a job. Raises ObjectExists when the id was ever used, Terminal for a job that is refused before it starts."""
        match job:
            case QueryJob():
                await self._jobs.query(job)
            case LoadJob():
                await self._jobs.load(job)
            case ReplaceJob():
                await BigQueryReplacement(self._calls, self._jobs, job).submit()
            case MergeJob():
                await BigQueryMerge(self._calls, self._jobs, job).submit()

    async def wait(self, job_id: str, *, timeout_seconds: float) -> JobResult:
        """Wait until a job ends, whoever submitted it. Raises JobAborted, Terminal, ObjectNotFound, Transient."""
        return await self._jobs.result(await self._jobs.finished(job_id, timeout_seconds=timeout_seconds))

    async def cancel(self, job_id: str) -> None:
        """Ask a job to stop. One that ended or is not known is no error."""
        await self._jobs.cancel(job_id)

    async def read(
        self,
        statement: Statement,
        *,
        page_size: int = 1000,
        max_bytes_billed: int | None = None,
        labels: Mapping[str, str] | None = None,
        timeout_seconds: float = 60.0,
    ) -> RowStream:
        """Run a SELECT and stream its rows from the temporary table that BigQuery keeps its result in."""
        job = QueryJob(
            job_id=f"read-{uuid.uuid4()}",
            statement=statement,
            labels=labels or {},
            max_bytes_billed=max_bytes_billed,
            timeout_seconds=timeout_seconds,
        )
        done = await self._jobs.select(job)
        table = await self._calls.run(self._client.get_table, done.destination)
        return BigQueryRows(
            self._calls,
            table,
            page_size=page_size,
            bytes_processed=done.total_bytes_processed or 0,
            bytes_billed=done.total_bytes_billed or 0,
        )

    async def estimate(self, statement: Statement) -> Estimate:
        """What a SELECT would read, by a dry run. Raises Terminal for a statement that does not compile."""
        return await self._jobs.dry_run(statement)

    async def close(self) -> None:
        """Release connections and threads."""
        await self._calls.close()

    def _reference(self, ref: TableRef) -> bigquery.TableReference:
        return reference(ref, self._client.project)


def _dataset(found: bigquery.Dataset) -> Dataset:
    return Dataset(
        dataset_id=found.dataset_id,
        location=found.location or "",
        labels=dict(found.labels),
        create_time=found.created or _UNSET_TIME,
        etag=found.etag or "",
    )
