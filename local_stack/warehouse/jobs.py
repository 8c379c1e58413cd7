"""Jobs under ids that never run twice: each in a thread and one transaction, which also holds the id and the result.

So a job whose end was seen is on disk, a repeated id is refused for ever, and a job that was lost in a crash is as if it had never been
submitted. A failed job keeps its id in a transaction of its own.
"""

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

import duckdb
import structlog

from common.errors import JobAborted, ObjectExists, ObjectNotFound, Terminal, Transient, WarehouseError
from common.warehouse.local_wire import decode, decode_error, encode, encode_error
from common.warehouse.warehouse import Job, JobResult, LoadJob, MergeJob, ReplaceJob, TableRef
from local_stack.warehouse.database import METADATA, Database, translated
from local_stack.warehouse.stop import Stop

Work = Callable[[duckdb.DuckDBPyConnection, Job], JobResult]
JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,200}", re.ASCII)
THREADS = 16
_RETRY_SECONDS = 0.02
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Running:
    job: Job
    ended: threading.Event = field(default_factory=threading.Event)
    stop: Stop = field(default_factory=Stop)
    outcome: WarehouseError | None = None


class Jobs:
    """Safe to use from many threads."""

    def __init__(self, database: Database, work: Work) -> None:
        self._database = database
        self._work = work
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="job")
        self._guard = threading.Lock()
        self._running: dict[str, _Running] = {}
        self._writing: WeakValueDictionary[TableRef, threading.Lock] = WeakValueDictionary()

    def submit(self, job: Job) -> None:
        """Accept a job. Raises ObjectExists, Terminal for a malformed id, Transient once closed."""
        if not JOB_ID.fullmatch(job.job_id):
            raise Terminal("A job id is 1 to 200 characters of A-Z, a-z, 0-9, _ and -")
        with self._guard:
            if job.job_id in self._running or self._stored(job.job_id) is not None:
                raise ObjectExists("A job of that id exists")
            running = _Running(job)
            try:
                self._pool.submit(self._run, running)
            except RuntimeError as error:
                raise Transient("The warehouse is shutting down") from error
            self._running[job.job_id] = running

    def wait(self, job_id: str, timeout_seconds: float) -> JobResult | None:
        """A job's result; None while it runs. Raises what it failed with, ObjectNotFound."""
        with self._guard:
            running = self._running.get(job_id)
        if running is not None and not running.ended.wait(timeout_seconds):
            return None
        outcome = self._stored(job_id) or (running.outcome if running else None)
        if outcome is None:
            raise ObjectNotFound("No such job")
        if isinstance(outcome, WarehouseError):
            raise outcome
        return outcome

    def cancel(self, job_id: str) -> None:
        """Stop a job, if it runs."""
        with self._guard:
            running = self._running.get(job_id)
        if running is not None:
            running.stop.request(Terminal("The job was cancelled"))

    def close(self) -> None:
        """Stop every job and wait until the last has ended."""
        with self._guard:
            for running in self._running.values():
                running.stop.request(Transient("The warehouse is shutting down"))
        self._pool.shutdown()

    def _run(self, running: _Running) -> None:
        job = running.job
        try:
            with self._writing_to(running), self._database.transaction() as cursor:
                with running.stop.watching(cursor, timeout_seconds=job.timeout_seconds), translated():
                    result = self._work(cursor, job)
                insert = f"INSERT INTO {METADATA}.jobs VALUES (?, ?, NULL)"
                cursor.execute(insert, [job.job_id, encode(result).decode()])
        except WarehouseError as error:
            self._fail(running, error)
        except Exception:  # noqa: BLE001 - logged, and told as a failure
            _log.exception("job failed", job_id=job.job_id)
            self._fail(running, Terminal("The warehouse failed in a way that its log explains"))
        finally:
            running.ended.set()
            with self._guard:
                self._running.pop(job.job_id, None)

    def _fail(self, running: _Running, error: WarehouseError) -> None:
        if isinstance(error, Transient):
            error = JobAborted(error.message)
        elif isinstance(error, ObjectNotFound | ObjectExists):  # to whoever waits these would speak of the job itself
            error = Terminal(error.message)
        running.outcome = error
        record = f"INSERT INTO {METADATA}.jobs VALUES (?, NULL, ?) ON CONFLICT DO NOTHING"
        try:
            with self._database.transaction() as cursor:
                cursor.execute(record, [running.job.job_id, encode_error(error).decode()])
        except WarehouseError:
            _log.exception("the failure of a job could not be kept", job_id=running.job.job_id)

    def _stored(self, job_id: str) -> JobResult | WarehouseError | None:
        with contextlib.closing(self._database.cursor()) as cursor:
            row = cursor.execute(f"SELECT result, error FROM {METADATA}.jobs WHERE job_id = ?", [job_id]).fetchone()
        if row is None:
            return None
        if row[1] is not None:
            return decode_error(row[1].encode())
        result: JobResult = decode(JobResult, row[0].encode())
        return result

    @contextlib.contextmanager
    def _writing_to(self, running: _Running) -> Iterator[None]:
        """Jobs that write the same table go one after the other. A DELETE that finds no row conflicts with nothing, so two first
        replaces of one day would both insert, and two merges of one new key."""
        target = _target(running.job)
        if target is None:
            yield
            return
        with self._guard:
            lock = self._writing.setdefault(TableRef(target.dataset, target.table), threading.Lock())
        while not lock.acquire(timeout=_RETRY_SECONDS):
            running.stop.check()
        try:
            yield
        finally:
            lock.release()


def _target(job: Job) -> TableRef | None:
    if isinstance(job, ReplaceJob | MergeJob):
        return job.destination
    if isinstance(job, LoadJob):
        return job.destination.table
    return job.destination.table if job.destination else None
