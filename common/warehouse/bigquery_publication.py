"""What publishing staged rows on BigQuery takes, whether they replace others or are merged into them: the rows, and a table for them."""

from collections.abc import Mapping
from datetime import date
from typing import Literal

from google.cloud import bigquery

from common.errors import ObjectExists, ObjectNotFound, Terminal
from common.warehouse.bigquery_calls import BigQueryCalls
from common.warehouse.bigquery_jobs import BigQueryJobs, common_configuration
from common.warehouse.bigquery_types import new_table, quoted, reference, spec
from common.warehouse.columns import same_columns
from common.warehouse.warehouse import MergeJob, ReplaceJob, TableRef, TableSpec


class BigQueryPublication:
    """Starts one publication. Checks come first; only the job that publishes carries the caller's id, so that what was refused, or died
    on the way, has changed nothing and may be submitted again."""

    def __init__(self, calls: BigQueryCalls, jobs: BigQueryJobs, job: ReplaceJob | MergeJob) -> None:
        self._calls = calls
        self._jobs = jobs
        self._job = job
        self._client = calls.client

    async def _require_unused(self) -> None:
        """Raises ObjectExists. Comes before the checks: the staging table may be gone by now."""
        if await self._jobs.exists(self._job.job_id):
            raise ObjectExists("A job of that id exists")

    async def _source(self) -> bigquery.Table:
        try:
            return await self._calls.run(self._client.get_table, self._reference(self._job.source))
        except ObjectNotFound as error:
            raise Terminal("The table of staged rows does not exist") from error

    async def _prepare_destination(self, staged: TableSpec, *, same_partitions: bool) -> int:
        """Create the destination where it does not exist, and say how many rows it has. Raises Terminal if it holds other columns or, with
        `same_partitions`, is partitioned otherwise."""
        target = self._reference(self._job.destination)
        try:
            published = await self._calls.run(self._client.get_table, target)
        except ObjectNotFound:
            try:
                published = await self._calls.run(self._client.create_table, new_table(target, staged))
            except ObjectExists:  # created by another publication meanwhile
                published = await self._calls.run(self._client.get_table, target)
        if published.table_type == "VIEW":
            raise Terminal("Rows cannot be published in a view")
        found = spec(published)
        if not same_columns(staged.columns, found.columns):
            raise Terminal("The staged rows have other columns than the table they are to be published in")
        if same_partitions and staged.partition_column != found.partition_column:
            raise Terminal("The staged rows are partitioned otherwise than the table they are to be published in")
        return int(published.num_rows or 0)

    def _reference(self, ref: TableRef, partition: date | None = None) -> bigquery.TableReference:
        return reference(ref, self._client.project, partition=partition)

    def _quoted(self, ref: TableRef) -> str:
        return quoted(ref.project or self._client.project, ref.dataset, ref.table)

    async def _copy(
        self,
        labels: Mapping[str, str],
        disposition: Literal["WRITE_EMPTY", "WRITE_TRUNCATE"],
        partition: date | None = None,
    ) -> None:
        """Start to copy what is staged to where it is published, whole or one partition. Raises ObjectExists, Terminal."""
        copy = {"writeDisposition": disposition, "createDisposition": "CREATE_NEVER"}
        config = {"copy": copy, **common_configuration(labels, self._job.timeout_seconds)}
        await self._jobs.start(
            self._client.copy_table,
            self._reference(self._job.source, partition),
            self._reference(self._job.destination, partition),
            job_id=self._job.job_id,
            job_config=bigquery.CopyJobConfig.from_api_repr(config),
        )
