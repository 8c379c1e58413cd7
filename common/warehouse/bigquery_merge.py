"""Merging rows on BigQuery: one MERGE, or, into a table without rows, one copy that nobody else may have preceded.

A MERGE that only inserts conflicts with nothing: two at the same time would both insert a key that is new to both. One that updates a
row conflicts with every other that changes the same partition. So each of ours updates, beside its own rows, the one with the smallest
keys, to what it is: the same row for all that begin at the same time. A table without rows has none: there a copy with WRITE_EMPTY takes
the place of the MERGE, and of several, atomically, one succeeds.
https://cloud.google.com/bigquery/docs/data-manipulation-language#dml_statement_conflicts
https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#JobConfigurationTableCopy
"""

import uuid
from collections.abc import Mapping, Sequence

from google.cloud import bigquery

from common.errors import Terminal
from common.warehouse.bigquery_calls import BigQueryCalls
from common.warehouse.bigquery_jobs import BILLED_LABEL, ROWS_LABEL, BigQueryJobs, common_configuration
from common.warehouse.bigquery_publication import BigQueryPublication
from common.warehouse.bigquery_rows import all_rows
from common.warehouse.bigquery_types import quoted, spec
from common.warehouse.merging import require_keys, require_one_row_per_key
from common.warehouse.warehouse import MergeJob, QueryJob, Statement, TableSpec

_TOUCH = "convergence_touch"


class BigQueryMerge(BigQueryPublication):
    """Starts one merge."""

    def __init__(self, calls: BigQueryCalls, jobs: BigQueryJobs, job: MergeJob) -> None:
        super().__init__(calls, jobs, job)
        self._keys = job.keys
        self._most = job.max_bytes_billed

    async def submit(self) -> None:
        """Raises ObjectExists, Terminal for rows that may not be merged."""
        await self._require_unused()
        source = await self._source()
        staged = spec(source)
        require_keys(staged, self._keys)
        billed = await self._check_keys()
        published_rows = await self._prepare_destination(staged, same_partitions=True)
        labels = {**self._job.labels, ROWS_LABEL: str(int(source.num_rows or 0)), BILLED_LABEL: str(billed)}
        if published_rows:
            await self._merge(staged, labels, billed)
        else:
            await self._copy(labels, "WRITE_EMPTY")

    async def _check_keys(self) -> int:
        """Raises Terminal. Gives the bytes that this has billed."""
        table, keys = self._quoted(self._job.source), [quoted(key) for key in self._keys]
        missing = " OR ".join(f"{key} IS NULL" for key in keys)
        repeated = f"SELECT {keys[0]} FROM {table} GROUP BY {', '.join(keys)} HAVING COUNT(*) > 1"
        query = QueryJob(
            job_id=f"keys-{self._job.job_id}-{uuid.uuid4().hex[:8]}",
            statement=Statement(
                f"SELECT (SELECT COUNT(*) FROM {table} WHERE {missing}) AS without_key, "
                f"(SELECT COUNT(*) FROM ({repeated}) AS repeated) AS repeated_keys"
            ),
            labels=self._job.labels,
            max_bytes_billed=self._most,
            timeout_seconds=self._job.timeout_seconds,
        )
        counted = await self._jobs.select(query)
        (counts,) = await self._calls.run(all_rows, self._client, counted.destination)
        billed = counted.total_bytes_billed or 0
        try:
            require_one_row_per_key(
                without_key=int(str(counts["without_key"])), repeated_keys=int(str(counts["repeated_keys"]))
            )
        except Terminal as error:
            error.bytes_billed = billed
            raise
        return billed

    async def _merge(self, staged: TableSpec, labels: Mapping[str, str], billed: int) -> None:
        query: dict[str, object] = {"useLegacySql": False}
        if self._most is not None:
            query["maximumBytesBilled"] = str(max(1, self._most - billed))  # 0 would be no limit
        config = {"query": query, **common_configuration(labels, self._job.timeout_seconds)}
        await self._jobs.start(
            self._client.query,
            merge_sql(
                self._quoted(self._job.source),
                self._quoted(self._job.destination),
                columns=[column.name for column in staged.columns],
                keys=self._keys,
            ),
            job_id=self._job.job_id,
            job_config=bigquery.QueryJobConfig.from_api_repr(config),
            job_retry=None,
        )


def merge_sql(source: str, destination: str, *, columns: Sequence[str], keys: Sequence[str]) -> str:
    """The MERGE of one table, whose name is quoted, into another with the same columns."""
    names = [quoted(name) for name in columns]
    key_names = [quoted(key) for key in keys]
    changed = [quoted(name) for name in columns if name not in keys] or key_names[:1]
    untouched = ", ".join(quoted(name) if name in keys else f"NULL AS {quoted(name)}" for name in columns)
    same = " AND ".join(f"{{0}}.{key} = {{1}}.{key}" for key in key_names)
    present = " AND ".join(f"present.{key} IS NOT NULL" for key in key_names)
    return (
        f"MERGE {destination} AS published USING ("
        f"SELECT {', '.join(names)}, FALSE AS {_TOUCH} FROM {source} UNION ALL "
        f"(SELECT {untouched}, TRUE FROM {destination} AS present WHERE {present} AND NOT EXISTS "
        f"(SELECT 1 FROM {source} AS fresh WHERE {same.format('fresh', 'present')}) ORDER BY {', '.join(key_names)} LIMIT 1)"
        f") AS staged ON {same.format('published', 'staged')} "
        f"WHEN MATCHED AND staged.{_TOUCH} THEN UPDATE SET {key_names[0]} = published.{key_names[0]} "
        f"WHEN MATCHED THEN UPDATE SET {', '.join(f'{name} = staged.{name}' for name in changed)} "
        f"WHEN NOT MATCHED THEN INSERT ({', '.join(names)}) VALUES ({', '.join(f'staged.{name}' for name in names)})"
    )
