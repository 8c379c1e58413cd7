"""Jobs on BigQuery under ids that run once: statements started, and any job waited for by its id alone.

What `wait` has to know of a job, in whichever process it was submitted, travels in the job's labels.
https://cloud.google.com/bigquery/docs/reference/rest/v2/Job
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from google.cloud import bigquery

from common.errors import JobAborted, ObjectNotFound, Terminal, Transient, WarehouseError
from common.warehouse.bigquery_calls import BigQueryCalls
from common.warehouse.bigquery_errors import job_error, load_error
from common.warehouse.bigquery_load import load_configuration
from common.warehouse.bigquery_types import layout, parameter_resource, reference
from common.warehouse.estimate import Estimate, EstimateBasis
from common.warehouse.warehouse import Destination, JobResult, LoadJob, QueryJob, Statement

FIRST_POLL_SECONDS = 0.05
LONGEST_POLL_SECONDS = 1.0
EXPIRE_LABEL = "convergence_expire_time"
"""Seconds since the epoch. A job cannot set its destination's expiration, so whoever waits for the job does."""
ROWS_LABEL = "convergence_rows"
"""The rows that a replacement or a merge publishes, counted before it was submitted."""
BILLED_LABEL = "convergence_billed"
"""The bytes that a merge has billed before it was submitted."""
_BASES: Mapping[str, EstimateBasis] = {
    "PRECISE": "dry_run",
    "LOWER_BOUND": "dry_run_at_least",
    "UPPER_BOUND": "dry_run_at_most",
}
"""By `totalBytesProcessedAccuracy` of a dry run."""

AnyJob = bigquery.QueryJob | bigquery.LoadJob | bigquery.CopyJob


class BigQueryJobs:
    """Starts, finds, awaits and cancels jobs."""

    def __init__(self, calls: BigQueryCalls) -> None:
        self._calls = calls
        self._client = calls.client

    async def query(self, job: QueryJob) -> None:
        """Start a statement. Raises ObjectExists, or Terminal where BigQuery refuses it at once."""
        query = {**_stated(job.statement), **_written_to(job.destination, self._client.project)}
        if job.max_bytes_billed is not None:
            query["maximumBytesBilled"] = str(job.max_bytes_billed)
        config = {"query": query, **common_configuration(_promised(job), job.timeout_seconds)}
        await self.start(
            self._client.query,
            job.statement.sql,
            job_id=job.job_id,
            job_config=bigquery.QueryJobConfig.from_api_repr(config),
            job_retry=None,
        )

    async def load(self, job: LoadJob) -> None:
        """Start reading files. Raises ObjectExists, or Terminal where BigQuery refuses it at once."""
        load = {**load_configuration(job), **_written_to(job.destination, self._client.project)}
        config = {"load": load, **common_configuration(_promised(job), job.timeout_seconds)}
        await self.start(
            self._client.load_table_from_uri,
            job.uri,
            reference(job.destination.table, self._client.project),
            job_id=job.job_id,
            job_config=bigquery.LoadJobConfig.from_api_repr(config),
        )

    async def select(self, job: QueryJob) -> bigquery.QueryJob:
        """Run a SELECT to its end. It has no effect, so one that was aborted or lost is a plain Transient. It is cancelled when its caller
        is, and when it does not end in time."""
        try:
            await self.query(job)
            return cast(bigquery.QueryJob, await self.finished(job.job_id, timeout_seconds=job.timeout_seconds))
        except (JobAborted, ObjectNotFound) as error:
            raise Transient("The warehouse had a passing fault") from error
        except (Transient, asyncio.CancelledError):
            with suppress(WarehouseError):
                await self.cancel(job.job_id)
            raise

    async def dry_run(self, statement: Statement) -> Estimate:
        """What a SELECT would read: a job that is only validated. It is looked up by no one, so its id, which the client makes up, does not
        matter; and what the cache holds would be said to read nothing."""
        config = {"query": {**_stated(statement), "useQueryCache": False}, "dryRun": True}
        try:
            job: bigquery.QueryJob = await self._calls.run(
                self._client.query,
                statement.sql,
                job_config=bigquery.QueryJobConfig.from_api_repr(config),
                job_retry=None,
            )
        except ObjectNotFound:
            return Estimate(None, "table_missing")
        statistics = job._properties["statistics"]["query"]  # noqa: SLF001 - the client has no name for the accuracy
        accuracy = statistics.get("totalBytesProcessedAccuracy", "")
        tables = len(statistics.get("referencedTables", ()))
        return Estimate(int(statistics["totalBytesProcessed"]), _BASES.get(accuracy, "dry_run_unsure"), tables)

    async def start(self, insert: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        """Insert a job. A table that does not exist is the job's failure, whether BigQuery says so at once or later."""
        try:
            await self._calls.run(insert, *args, **kwargs)
        except ObjectNotFound as error:
            raise Terminal("A table or dataset that the job names does not exist") from error

    async def exists(self, job_id: str) -> bool:
        """Whether the id was ever used."""
        try:
            await self._calls.run(self._client.get_job, job_id)
        except ObjectNotFound:
            return False
        return True

    async def finished(self, job_id: str, *, timeout_seconds: float) -> AnyJob:
        """Wait for a job's end and return it. Raises what it failed with, ObjectNotFound, Transient while it still runs."""
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + timeout_seconds, FIRST_POLL_SECONDS
        while True:
            job = cast(AnyJob, await self._calls.run(self._client.get_job, job_id))
            if job.state == "DONE":
                if job.error_result:
                    if _came_second(job):
                        raise JobAborted("The table got its first rows from a concurrent job")
                    if isinstance(job, bigquery.LoadJob):
                        raise load_error(job.error_result, job.errors or ())
                    raise _failure_of(job)
                return job
            if (remaining := deadline - loop.time()) <= 0:
                raise Transient("The job still runs")
            await asyncio.sleep(min(pause, remaining))
            pause = min(2 * pause, LONGEST_POLL_SECONDS)

    async def result(self, job: AnyJob) -> JobResult:
        """What a finished job did. Keeps the promise of EXPIRE_LABEL."""
        before = int(job.labels.get(BILLED_LABEL, 0))
        if isinstance(job, bigquery.CopyJob):
            return JobResult(
                job_id=job.job_id, rows=int(job.labels[ROWS_LABEL]), bytes_processed=0, bytes_billed=before
            )
        if isinstance(job, bigquery.LoadJob):  # loading is free
            await self._rows_written(job)
            return JobResult(job_id=job.job_id, rows=int(job.output_rows or 0), bytes_processed=0, bytes_billed=0)
        if ROWS_LABEL in job.labels:
            rows = int(job.labels[ROWS_LABEL])
        elif job.num_dml_affected_rows is not None:
            rows = job.num_dml_affected_rows
        else:
            rows = await self._rows_written(job)
        return JobResult(
            job_id=job.job_id,
            rows=rows,
            bytes_processed=job.total_bytes_processed or 0,
            bytes_billed=before + (job.total_bytes_billed or 0),
        )

    async def cancel(self, job_id: str) -> None:
        """Ask a job to stop; one that ended or is not known is no error."""
        with suppress(ObjectNotFound):
            await self._calls.run(self._client.cancel_job, job_id)

    async def _rows_written(self, job: bigquery.QueryJob | bigquery.LoadJob) -> int:
        """Rows of the result, which gets its expiration, 0 where it is gone by now: they were published long ago."""
        if job.destination is None:
            return 0
        table = bigquery.Table(job.destination)
        with suppress(ObjectNotFound):
            if EXPIRE_LABEL in job.labels:
                wanted = datetime.fromtimestamp(int(job.labels[EXPIRE_LABEL]), UTC)
                table.expires = max(wanted, datetime.now(UTC) + timedelta(minutes=1))  # A past time is refused.
                table = await self._calls.run(self._client.update_table, table, ["expires"])
            else:
                table = await self._calls.run(self._client.get_table, table.reference)
        return int(table.num_rows or 0)


def _came_second(job: AnyJob) -> bool:
    """Whether a copy into an empty table found that another had filled it."""
    only_empty = isinstance(job, bigquery.CopyJob) and job.write_disposition == bigquery.WriteDisposition.WRITE_EMPTY
    return only_empty and job.error_result["reason"] == "duplicate"


def _failure_of(job: AnyJob) -> WarehouseError:
    """Why a query or a copy failed, with what it has billed nonetheless."""
    assert job.error_result is not None  # noqa: S101 - the caller has looked
    if not isinstance(job, bigquery.QueryJob):
        return job_error(job.error_result, statement_type=None, bytes_billed=0)
    error = job_error(job.error_result, statement_type=job.statement_type, bytes_billed=job.total_bytes_billed)
    if isinstance(error, Terminal) and error.bytes_billed is not None:
        error.bytes_billed += int(job.labels.get(BILLED_LABEL, 0))
    return error


def common_configuration(labels: Mapping[str, str], timeout_seconds: float) -> dict[str, Any]:
    """The part of a JobConfiguration that every kind of job has."""
    return {"labels": dict(labels), "jobTimeoutMs": str(int(timeout_seconds * 1000))}


def _promised(job: QueryJob | LoadJob) -> Mapping[str, str]:
    """The job's labels, and when its destination is to expire."""
    if job.destination is None or job.destination.expire_time is None:
        return job.labels
    return {**job.labels, EXPIRE_LABEL: str(int(job.destination.expire_time.timestamp()))}


def _stated(statement: Statement) -> dict[str, Any]:
    parameters = [parameter_resource(parameter) for parameter in statement.parameters]
    return {"useLegacySql": False, **({"queryParameters": parameters} if parameters else {})}


def _written_to(destination: Destination | None, project: str) -> dict[str, Any]:
    if destination is None:
        return {}
    return {
        "destinationTable": reference(destination.table, project).to_api_repr(),
        "writeDisposition": "WRITE_TRUNCATE",
        **layout(destination.partition_column, destination.clustering),
    }
