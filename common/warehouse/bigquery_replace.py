"""Replacing a partition on BigQuery: one copy job between partition decorators, atomic, free and without DML quota.

The copy overwrites `table$YYYYMMDD` with `stage$YYYYMMDD`, which needs the same partition specification on both sides:
https://cloud.google.com/bigquery/docs/managing-partitioned-tables#copy_a_single_partition. There is no partition to copy for a day
without rows; a query without rows, written to that partition, empties it as atomically.
"""

import uuid
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta

from google.cloud import bigquery

from common.errors import Terminal
from common.warehouse.bigquery_calls import BigQueryCalls
from common.warehouse.bigquery_jobs import ROWS_LABEL, BigQueryJobs, common_configuration
from common.warehouse.bigquery_publication import BigQueryPublication
from common.warehouse.bigquery_rows import all_rows
from common.warehouse.bigquery_types import quoted, spec
from common.warehouse.warehouse import Parameter, QueryJob, ReplaceJob, Statement, TableSpec


class BigQueryReplacement(BigQueryPublication):
    """Starts one replacement."""

    def __init__(self, calls: BigQueryCalls, jobs: BigQueryJobs, job: ReplaceJob) -> None:
        super().__init__(calls, jobs, job)
        self._partition = job.partition

    async def submit(self) -> None:
        """Raises ObjectExists, Terminal for rows that may not be published."""
        await self._require_unused()
        source = await self._source()
        staged = spec(source)
        partition = self._partition
        rows = await self._rows_inside(staged, partition) if partition else int(source.num_rows or 0)
        await self._prepare_destination(staged, same_partitions=partition is not None)
        labels = {**self._job.labels, ROWS_LABEL: str(rows)}
        if partition and not rows:
            await self._empty(partition, labels)
        else:
            await self._copy(labels, "WRITE_TRUNCATE", self._partition)

    async def _rows_inside(self, staged: TableSpec, partition: date) -> int:
        """Count the staged rows; BigQuery answers from metadata. Raises Terminal, reason ROWS_OUTSIDE_PARTITION, if any lies outside."""
        kind = next((column.type for column in staged.columns if column.name == staged.partition_column), None)
        if staged.partition_column is None or kind is None:
            raise Terminal("The table of staged rows is not partitioned")
        table, column = self._quoted(self._job.source), quoted(staged.partition_column)
        bounds = [partition, partition + timedelta(days=1)]
        if kind == "TIMESTAMP":
            bounds = [datetime.combine(day, time(), UTC) for day in bounds]
        query = QueryJob(
            job_id=f"{self._job.job_id}-rows-{uuid.uuid4().hex[:8]}",
            statement=Statement(
                f"SELECT (SELECT COUNT(*) FROM {table}) AS staged, "
                f"(SELECT COUNT(*) FROM {table} WHERE {column} >= @first AND {column} < @following) AS inside",
                (Parameter("first", kind, bounds[0]), Parameter("following", kind, bounds[1])),
            ),
            labels=self._job.labels,
            timeout_seconds=self._job.timeout_seconds,
        )
        counted = await self._jobs.select(query)
        (counts,) = await self._calls.run(all_rows, self._client, counted.destination)
        outside = int(str(counts["staged"])) - int(str(counts["inside"]))
        if outside:
            raise Terminal(
                f"{outside} staged rows lie outside of the partition {partition}", reason="ROWS_OUTSIDE_PARTITION"
            )
        return int(str(counts["inside"]))

    async def _empty(self, partition: date, labels: Mapping[str, str]) -> None:
        query = {
            "useLegacySql": False,
            "destinationTable": self._reference(self._job.destination, partition).to_api_repr(),
            "writeDisposition": "WRITE_TRUNCATE",
            "createDisposition": "CREATE_NEVER",
        }
        config = {"query": query, **common_configuration(labels, self._job.timeout_seconds)}
        await self._jobs.start(
            self._client.query,
            f"SELECT * FROM {self._quoted(self._job.source)}",
            job_id=self._job.job_id,
            job_config=bigquery.QueryJobConfig.from_api_repr(config),
            job_retry=None,
        )
