"""The local warehouse in one process: the DuckDB file, what is in it, its jobs and its streams."""

import contextlib
import threading
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from common.clock import Clock
from common.errors import ObjectNotFound, Terminal
from common.warehouse.estimate import Estimate
from common.warehouse.local_wire import Read, Upload
from common.warehouse.warehouse import Statement, TableRef, TableSpec
from local_stack.warehouse.catalog import Catalog
from local_stack.warehouse.column_types import columns_of
from local_stack.warehouse.database import Database, translated
from local_stack.warehouse.files.folders import Folders
from local_stack.warehouse.jobs import Jobs
from local_stack.warehouse.planning import QueryPlan, QueryPlanner
from local_stack.warehouse.reading import Reading
from local_stack.warehouse.writing import Writer

FILE = "warehouse.duckdb"
LARGEST_BATCH_ROWS = 8192
LIST_SECONDS = 60.0
SWEEP_SECONDS = 60.0


class Engine:
    """Owns the file: raises OSError where another process has it. Safe to use from many threads."""

    def __init__(self, data_dir: Path, clock: Clock, *, project: str = "local", load_dirs: Sequence[Path] = ()) -> None:
        """`load_dirs` are the folders that load jobs may read files from, absolute."""
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._database = Database(data_dir / FILE)
        self.catalog = Catalog(self._database, clock, project=project)
        self._planner = QueryPlanner(self.catalog, project=project)
        self._writer = Writer(self.catalog, self._planner, Folders.of(load_dirs))
        self.jobs = Jobs(self._database, self._writer.work)
        self._closing = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep, name="sweep", daemon=True)
        self._sweeper.start()

    def read(self, request: Read) -> tuple[QueryPlan, Reading]:
        """Start a SELECT. Raises Terminal, Transient; the stream does too."""
        plan = self._planner.plan(request.statement, max_bytes_billed=request.max_bytes_billed)
        if plan.translation.kind != "SELECT":
            raise Terminal("Only a SELECT can be read")
        rows = min(max(request.page_size, 1), LARGEST_BATCH_ROWS)
        return plan, Reading(
            self._database,
            plan.translation.sql,
            plan.translation.values,
            batch_rows=rows,
            timeout_seconds=request.timeout_seconds,
        )

    def estimate(self, statement: Statement) -> Estimate:
        """What a SELECT is said to read: see `planning`. Raises Terminal for one that does not compile."""
        try:
            plan = self._planner.plan_existing(statement)
        except ObjectNotFound:
            return Estimate(None, "table_missing")
        if plan.translation.kind != "SELECT":
            raise Terminal("Only the bytes of a SELECT can be estimated")
        with contextlib.closing(self._database.cursor()) as cursor, translated():
            cursor.execute(f"EXPLAIN {plan.translation.sql}", plan.translation.values or None)
        return Estimate(plan.bytes_processed, "table_sizes", plan.tables)

    def put_view(self, ref: TableRef, select: str) -> None:
        """Make a view, or replace one. Raises Terminal."""
        plan = self._planner.plan(Statement(select))
        if plan.translation.kind != "SELECT":
            raise Terminal("A view is made of a SELECT")
        if ref in plan.read:
            raise Terminal("A view cannot read itself")
        with contextlib.closing(self._database.cursor()) as cursor, translated():
            columns = columns_of(cursor.sql(plan.translation.sql))
        self.catalog.put_view(ref, TableSpec(columns), select, plan.translation.sql)

    def list_rows(self, ref: TableRef) -> Reading:
        """Start reading all rows of a table. Raises ObjectNotFound, Terminal for a view."""
        if self.catalog.query_of(ref) is not None:
            raise Terminal("The rows of a view cannot be listed")
        columns = self.catalog.find(ref)[0].columns
        sql = f"SELECT * FROM {self.catalog.sql_name(ref)}"
        return Reading(
            self._database, sql, columns=columns, batch_rows=LARGEST_BATCH_ROWS, timeout_seconds=LIST_SECONDS
        )

    def upload(self, request: Upload, rows: pa.RecordBatchReader) -> int:
        """Replace a table by rows, or make it of them, atomically, and say how many. Columns are matched by name. Raises Terminal."""
        with self._database.transaction() as cursor:
            return self._writer.upload(cursor, request, rows)

    def close(self) -> None:
        """Stop the jobs, write everything to the file and release it."""
        self._closing.set()
        self._sweeper.join()
        self.jobs.close()
        self._database.close()

    def _sweep(self) -> None:
        while True:
            self.catalog.sweep()
            if self._closing.wait(SWEEP_SECONDS):
                return
