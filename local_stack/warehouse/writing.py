"""What the kinds of job do inside their transaction. Rows stay in DuckDB throughout."""

from collections.abc import Callable
from datetime import date, timedelta
from functools import partial

import duckdb
import pyarrow as pa

from common.errors import ObjectNotFound, Terminal
from common.warehouse.columns import Column, same_columns
from common.warehouse.local_wire import Upload
from common.warehouse.merging import require_keys, require_one_row_per_key
from common.warehouse.warehouse import (
    Destination,
    Job,
    JobResult,
    LoadJob,
    MergeJob,
    QueryJob,
    ReplaceJob,
    TableRef,
    TableSpec,
)
from local_stack.warehouse.catalog import Catalog
from local_stack.warehouse.column_types import columns_of, quote
from local_stack.warehouse.files.folders import Folders
from local_stack.warehouse.files.reading import FileRows
from local_stack.warehouse.planning import QueryPlan, QueryPlanner


class Writer:
    """Runs a job's statements on a cursor, in the transaction that is open there."""

    def __init__(self, catalog: Catalog, planner: QueryPlanner, folders: Folders) -> None:
        self._catalog = catalog
        self._planner = planner
        self._folders = folders

    def work(self, cursor: duckdb.DuckDBPyConnection, job: Job) -> JobResult:
        """Do the job. Raises WarehouseErrors and DuckDB's own."""
        if isinstance(job, ReplaceJob):
            return JobResult(job.job_id, self._replace(cursor, job), bytes_processed=0, bytes_billed=0)
        if isinstance(job, MergeJob):
            return JobResult(job.job_id, self._merge(cursor, job), bytes_processed=0, bytes_billed=0)
        if isinstance(job, LoadJob):
            return JobResult(job.job_id, self._load(cursor, job), bytes_processed=0, bytes_billed=0)
        plan = self._planner.plan(job.statement, max_bytes_billed=job.max_bytes_billed)
        rows = self._query(cursor, job, plan)
        return JobResult(job.job_id, rows, plan.bytes_processed, plan.bytes_billed)

    def upload(self, cursor: duckdb.DuckDBPyConnection, request: Upload, rows: pa.RecordBatchReader) -> int:
        """Put rows from outside in place of a table, and say how many they are."""
        self._catalog.get_dataset(request.ref.dataset)
        self._catalog.remove(cursor, request.ref)
        self._catalog.put(cursor, request.ref, request.spec)
        cursor.register("uploaded_rows", rows)
        insert = f"INSERT INTO {self._catalog.sql_name(request.ref)} BY NAME SELECT * FROM uploaded_rows"
        return _count(cursor.execute(insert))

    def _query(self, cursor: duckdb.DuckDBPyConnection, job: QueryJob, plan: QueryPlan) -> int:
        translation = plan.translation
        if job.destination is not None:
            if translation.kind != "SELECT":
                raise Terminal("Only a SELECT has a destination")
            return self._stage(cursor, job.destination, plan)
        if translation.kind == "SELECT":  # run to its end, as BigQuery would, and keep nothing
            for _ in cursor.sql(translation.sql, params=translation.values).to_arrow_reader():
                pass
            return 0
        return _count(cursor.execute(translation.sql, translation.values))

    def _stage(self, cursor: duckdb.DuckDBPyConnection, destination: Destination, plan: QueryPlan) -> int:
        translation = plan.translation
        columns = columns_of(cursor.sql(translation.sql, params=translation.values))
        insert = partial(cursor.execute, parameters=translation.values)
        return self._put(cursor, destination, columns, lambda table: insert(f"INSERT INTO {table} {translation.sql}"))

    def _load(self, cursor: duckdb.DuckDBPyConnection, job: LoadJob) -> int:
        """The files are read here: the database itself can open none."""
        self._catalog.get_dataset(job.destination.table.dataset)
        rows = FileRows(job, self._folders)

        def insert(table: str) -> duckdb.DuckDBPyConnection:
            cursor.register("loaded_rows", rows.reader())
            try:
                return cursor.execute(f"INSERT INTO {table} BY NAME SELECT * FROM loaded_rows")
            except duckdb.Error as error:
                raise rows.failure or error from error

        return self._put(cursor, job.destination, rows.columns, insert)

    def _put(
        self,
        cursor: duckdb.DuckDBPyConnection,
        destination: Destination,
        columns: tuple[Column, ...],
        insert: Callable[[str], duckdb.DuckDBPyConnection],
    ) -> int:
        """Put a table of these columns and of what `insert` puts into it in place of a destination, and say how many rows it has."""
        table = destination.table
        # What is inserted may be read from the old one.
        fresh = TableRef(table.dataset, f"{table.table}--new", table.project)
        self._catalog.put(cursor, fresh, TableSpec(columns, destination.partition_column, destination.clustering))
        rows = _count(insert(self._catalog.sql_name(fresh)))
        self._catalog.rename(cursor, fresh, table, expire_time=destination.expire_time)
        return rows

    def _replace(self, cursor: duckdb.DuckDBPyConnection, job: ReplaceJob) -> int:
        source, _ = self._catalog.find(job.source)
        staged = self._catalog.sql_name(job.source)
        partition = source.partition_column
        if job.partition is not None and partition is None:
            raise Terminal("The table of staged rows is not partitioned")
        within = "TRUE" if job.partition is None else _within(source, job.partition)
        outside = cursor.execute(f"SELECT count(*) FROM {staged} WHERE ({within}) IS NOT TRUE").fetchone()
        if outside and outside[0]:
            raise Terminal("Staged rows lie outside the partition that they replace", reason="ROWS_OUTSIDE_PARTITION")
        self._ensure(cursor, job.destination, source)
        destination = self._catalog.sql_name(job.destination)
        cursor.execute(f"DELETE FROM {destination} WHERE {within}")
        return _count(cursor.execute(f"INSERT INTO {destination} BY NAME SELECT * FROM {staged}"))

    def _merge(self, cursor: duckdb.DuckDBPyConnection, job: MergeJob) -> int:
        source, _ = self._catalog.find(job.source)
        require_keys(source, job.keys)
        staged, keys = self._catalog.sql_name(job.source), [quote(key) for key in job.keys]
        without_key = " OR ".join(f"{key} IS NULL" for key in keys)
        repeated = f"SELECT 1 FROM {staged} GROUP BY {', '.join(keys)} HAVING count(*) > 1"
        require_one_row_per_key(
            without_key=_count(cursor.execute(f"SELECT count(*) FROM {staged} WHERE {without_key}")),
            repeated_keys=_count(cursor.execute(f"SELECT count(*) FROM ({repeated})")),
        )
        self._ensure(cursor, job.destination, source)
        names = [quote(column.name) for column in source.columns]
        same = " AND ".join(f"published.{key} = staged.{key}" for key in keys)
        changes = ", ".join(f"{name} = staged.{name}" for name in names if name not in keys)
        cursor.execute(
            f"MERGE INTO {self._catalog.sql_name(job.destination)} AS published USING {staged} AS staged ON {same} "
            + (f"WHEN MATCHED THEN UPDATE SET {changes} " if changes else "")
            + f"WHEN NOT MATCHED THEN INSERT ({', '.join(names)}) VALUES ({', '.join(f'staged.{n}' for n in names)})"
        )
        return _count(cursor.execute(f"SELECT count(*) FROM {staged}"))

    def _ensure(self, cursor: duckdb.DuckDBPyConnection, ref: TableRef, source: TableSpec) -> None:
        try:
            existing, _ = self._catalog.find(ref)
        except ObjectNotFound:
            self._catalog.get_dataset(ref.dataset)
            self._catalog.put(cursor, ref, source)
            return
        if self._catalog.query_of(ref) is not None:
            raise Terminal("Rows cannot be published in a view")
        if existing.partition_column != source.partition_column:
            raise Terminal("The staged rows are partitioned otherwise than the table they are to be published in")
        if not same_columns(existing.columns, source.columns):
            raise Terminal("The staged rows have other columns than the table they are to be published in")


def _within(spec: TableSpec, day: date) -> str:
    """A condition that holds for the rows of one day; in UTC for a TIMESTAMP."""
    column = next(column for column in spec.columns if column.name == spec.partition_column)
    if column.type == "DATE":
        return f"{quote(column.name)} = DATE '{day}'"
    start, end = f"TIMESTAMPTZ '{day} 00:00:00+00'", f"TIMESTAMPTZ '{day + timedelta(days=1)} 00:00:00+00'"
    return f"{quote(column.name)} >= {start} AND {quote(column.name)} < {end}"


def _count(cursor: duckdb.DuckDBPyConnection) -> int:
    row = cursor.fetchone()
    return int(row[0]) if row else 0
