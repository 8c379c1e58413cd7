"""Jobs: an id that is used up for ever, and a thread that runs each.

https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs
"""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from tests.stubs.bigquery.answers import ApiError
from tests.stubs.bigquery.catalog import Catalog
from tests.stubs.bigquery.engine import Engine
from tests.stubs.bigquery.execution import ANONYMOUS, Execution
from tests.stubs.bigquery.faults import Faults


@dataclass
class StoredJob:
    """A job as jobs.get answers it, and the cursor by which it is interrupted."""

    job_id: str
    configuration: dict[str, Any]
    reference: dict[str, str]
    cursor: duckdb.DuckDBPyConnection
    statistics: dict[str, Any] = field(default_factory=dict)
    started: bool = False
    stop_reason: str | None = None
    error: ApiError | None = None
    done: threading.Event = field(default_factory=threading.Event)

    def resource(self) -> dict[str, Any]:
        status: dict[str, Any] = {"state": "DONE" if self.done.is_set() else "RUNNING"}
        if self.done.is_set() and self.error:
            status |= {"errorResult": self.error.result(), "errors": [self.error.result()]}
        return {
            "jobReference": self.reference,
            "configuration": self.configuration,
            "statistics": self.statistics,
            "status": status,
        }

    @property
    def outcome(self) -> str:
        """RUNNING, DONE or the reason that it failed with."""
        if not self.done.is_set():
            return "RUNNING"
        return self.error.reason if self.error else "DONE"

    def stop(self, reason: str) -> None:
        """End a job that has not ended. What it wrote so far is rolled back."""
        if not self.done.is_set():
            self.stop_reason = self.stop_reason or reason
            self.cursor.interrupt()


class Jobs:
    """Every job of one project and location."""

    def __init__(self, catalog: Catalog, engine: Engine, faults: Faults, buckets: Mapping[str, Path]) -> None:
        self._catalog = catalog
        self._engine = engine
        self._faults = faults
        self._buckets = buckets
        self._jobs: dict[str, StoredJob] = {}
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="bigquery-stub-job")
        engine.create_dataset(ANONYMOUS)

    def close(self) -> None:
        for job in self._jobs.values():
            job.stop("stopped")
        self._threads.shutdown()

    def insert(self, body: Mapping[str, Any]) -> dict[str, Any]:
        if body["configuration"].get("dryRun"):
            return self._dry_run(body["configuration"])
        reference, job_id = dict(body["jobReference"]), body["jobReference"]["jobId"]
        if reason := self._faults.job_refusal(job_id):
            raise ApiError(reason, "A fault was injected")
        with self._lock:
            if job_id in self._jobs:
                raise ApiError("duplicate", f"Already Exists: Job {self._catalog.project}:{job_id}")
            job = StoredJob(job_id, dict(body["configuration"]), reference, self._engine.cursor())
            if self._faults.job_is_lost(job_id):
                return job.resource()
            self._jobs[job_id] = job
            if "query" in job.configuration and "destinationTable" not in job.configuration["query"]:
                job.configuration["query"]["destinationTable"] = self._anonymous(job_id)
        self._advance(job)
        return job.resource()

    def get(self, job_id: str) -> dict[str, Any]:
        job = self._find(job_id)
        if job.stop_reason:
            job.stop(job.stop_reason)  # An interrupt before the statement began is lost.
        self._advance(job)
        return job.resource()

    def cancel(self, job_id: str) -> dict[str, Any]:
        job = self._find(job_id)
        job.stop("stopped")
        self._start(job)
        return {"job": job.resource()}

    def outcomes(self) -> dict[str, str]:
        """How each job stands, by its id: RUNNING, DONE or the reason that it failed with."""
        with self._lock:
            jobs = list(self._jobs.values())
        return {job.job_id: job.outcome for job in jobs}

    def billed(self, run_id: str) -> dict[str, int]:
        """What each job of a run has billed, or bills, by its id."""
        with self._lock:
            jobs = list(self._jobs.values())
        return {
            job.job_id: int(job.statistics.get("query", {}).get("totalBytesBilled", 0))
            for job in jobs
            if job.configuration.get("labels", {}).get("convergence_run") == run_id and job.error is None
        }

    def _dry_run(self, configuration: Mapping[str, Any]) -> dict[str, Any]:
        """Only validate. Such a job has no id, and jobs.get finds none."""
        job = StoredJob("", dict(configuration), {}, self._engine.cursor())
        try:
            Execution(job, self._catalog, self._engine, self._faults, self._buckets).validate()
        except duckdb.Error as error:
            raise ApiError("invalidQuery", str(error)) from error
        finally:
            job.cursor.close()
        job.done.set()
        return {**job.resource(), "jobReference": {"projectId": self._catalog.project}}

    def _find(self, job_id: str) -> StoredJob:
        with self._lock:
            if job_id not in self._jobs:
                raise ApiError("notFound", f"Not found: Job {self._catalog.project}:{job_id}")
            return self._jobs[job_id]

    def _advance(self, job: StoredJob) -> None:
        if not self._faults.job_is_held(job.job_id):
            self._start(job)

    def _start(self, job: StoredJob) -> None:
        with self._lock:
            if job.started:
                return
            job.started = True
        self._threads.submit(self._run, job)

    def _run(self, job: StoredJob) -> None:
        timeout_seconds = int(job.configuration.get("jobTimeoutMs", 0)) / 1000
        timer = threading.Timer(timeout_seconds, job.stop, ("timeout",)) if timeout_seconds else None
        if timer:
            timer.start()
        try:
            if job.stop_reason:
                raise ApiError(job.stop_reason, "Job execution was cancelled")
            Execution(job, self._catalog, self._engine, self._faults, self._buckets).run()
        except ApiError as error:
            job.error = error
        except duckdb.InterruptException:
            job.error = ApiError(job.stop_reason or "stopped", "Job execution was cancelled")
        except duckdb.Error as error:
            job.error = ApiError("invalidQuery", str(error))
        finally:
            if timer:
                timer.cancel()
            job.cursor.close()
            job.done.set()

    def _anonymous(self, job_id: str) -> dict[str, str]:
        table = "anon" + job_id.replace("-", "_")
        return {"projectId": self._catalog.project, "datasetId": ANONYMOUS, "tableId": table}
