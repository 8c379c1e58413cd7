"""Datasets, tables and views: each dataset a DuckDB schema, each table or view one of DuckDB's, and beside them what DuckDB has no place
for (labels, etags, partitioning, expiry, GoogleSQL's column types and text)."""

import contextlib
import json
import re
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import duckdb

from common.clock import Clock
from common.errors import ObjectExists, ObjectNotFound, PreconditionLost, Terminal, WarehouseError
from common.warehouse.columns import Column
from common.warehouse.local_wire import decode, encode
from common.warehouse.warehouse import Dataset, Table, TableRef, TableSpec
from local_stack.warehouse.column_types import duckdb_type, quote
from local_stack.warehouse.database import METADATA, Database, translated

_NAME = re.compile(r"[A-Za-z0-9_-]{1,1024}", re.ASCII)
_RESERVED = frozenset({METADATA, "main", "temp", "system", "information_schema", "pg_catalog", "pg_temp"})
PARTITION_TYPES = frozenset({"DATE", "TIMESTAMP"})


class Catalog:
    """Safe to use from many threads. Changes are serialised among themselves and never wait for a job."""

    def __init__(self, database: Database, clock: Clock, *, project: str) -> None:
        self._database = database
        self._clock = clock
        self._project = project
        self._changing = threading.Lock()

    def create_dataset(
        self, dataset_id: str, *, location: str, labels: Mapping[str, str], description: str = ""
    ) -> Dataset:
        """Raises ObjectExists, Terminal for a name that cannot be had."""
        if not _NAME.fullmatch(dataset_id) or dataset_id.lower() in _RESERVED:
            raise Terminal(f"{dataset_id!r} cannot be a dataset's name")
        with self._changing, self._database.transaction() as cursor:
            taken = f"SELECT dataset_id FROM {METADATA}.datasets WHERE lower(dataset_id) = lower(?)"
            if cursor.execute(taken, [dataset_id]).fetchone():
                raise ObjectExists("A dataset of that name exists")
            dataset = Dataset(dataset_id, location, dict(labels), self._clock.now(), uuid.uuid4().hex)
            cursor.execute(f"CREATE SCHEMA {quote(dataset_id)}")
            cursor.execute(
                f"INSERT INTO {METADATA}.datasets VALUES (?, ?, ?, ?, ?, ?)",
                [dataset_id, location, json.dumps(dict(labels)), description, dataset.create_time, dataset.etag],
            )
        return dataset

    def get_dataset(self, dataset_id: str) -> Dataset:
        """Raises ObjectNotFound."""
        for dataset in self._datasets("WHERE dataset_id = ?", [dataset_id]):
            return dataset
        raise ObjectNotFound("No such dataset")

    def list_datasets(self, label: str) -> list[Dataset]:
        """Every dataset that carries the label, by name."""
        return [dataset for dataset in self._datasets("ORDER BY dataset_id", []) if label in dataset.labels]

    def set_labels(self, dataset_id: str, etag: str, labels: Mapping[str, str]) -> Dataset:
        """Raises PreconditionLost, ObjectNotFound."""
        with self._changing:
            dataset = self.get_dataset(dataset_id)
            if dataset.etag != etag:
                raise PreconditionLost("The dataset changed since it was read")
            merged = json.dumps({**dataset.labels, **labels})
            with self._database.transaction() as cursor:
                change = f"UPDATE {METADATA}.datasets SET labels = ?, etag = ? WHERE dataset_id = ?"
                cursor.execute(change, [merged, uuid.uuid4().hex, dataset_id])
            return self.get_dataset(dataset_id)

    def create_table(self, ref: TableRef, spec: TableSpec) -> None:
        """Raises ObjectExists, ObjectNotFound (its dataset), Terminal for a specification that cannot be had."""
        with self._changing:
            self.get_dataset(self._own(ref).dataset)
            self._drop_if_expired(ref)
            with self._database.transaction() as cursor:
                try:
                    self.put(cursor, ref, spec)
                except duckdb.CatalogException as error:
                    raise ObjectExists("A table of that name exists") from error

    def put(
        self, cursor: duckdb.DuckDBPyConnection, ref: TableRef, spec: TableSpec, *, expire_time: datetime | None = None
    ) -> None:
        """Create a table in the caller's transaction. Raises duckdb.CatalogException where it exists."""
        _check(ref, spec)
        columns = ", ".join(_definition(column) for column in spec.columns)
        cursor.execute(f"CREATE TABLE {self.sql_name(ref)} ({columns})")
        record = (
            f"INSERT INTO {METADATA}.tables VALUES (?, ?, ?, ?) "
            "ON CONFLICT (dataset_id, table_id) DO UPDATE SET spec = excluded.spec, expire_time = excluded.expire_time"
        )
        cursor.execute(record, [ref.dataset, ref.table, encode(spec).decode(), expire_time])

    def add_columns(self, ref: TableRef, columns: Sequence[Column]) -> None:
        """Add those that the table lacks. Raises ObjectNotFound, Terminal for one that is REQUIRED."""
        with self._changing, self._database.transaction() as cursor:
            spec, _ = self._find(cursor, ref)
            known = {column.name.lower() for column in spec.columns}
            missing = tuple(column for column in columns if column.name.lower() not in known)
            if any(column.mode == "REQUIRED" for column in missing):
                raise Terminal("A column that is added to a table cannot be REQUIRED")
            changed = replace(spec, columns=spec.columns + missing)
            _check(ref, changed)
            for column in missing:
                cursor.execute(f"ALTER TABLE {self.sql_name(ref)} ADD COLUMN {_definition(column)}")
            change = f"UPDATE {METADATA}.tables SET spec = ? WHERE dataset_id = ? AND table_id = ?"
            cursor.execute(change, [encode(changed).decode(), ref.dataset, ref.table])

    def put_view(self, ref: TableRef, spec: TableSpec, query: str, duckdb_sql: str) -> None:
        """Make a view, or replace one, of a query in GoogleSQL and the same for DuckDB. Raises Terminal where a table has its name."""
        _check(ref, spec)
        own = self._own(ref)
        with self._changing, self._database.transaction() as cursor:
            known = f"SELECT 1 FROM {METADATA}.tables WHERE dataset_id = ? AND table_id = ?"
            exists = cursor.execute(known, [own.dataset, own.table]).fetchone()
            if exists and self._query_of(cursor, own) is None:
                raise Terminal("A table of that name exists: no view can take its place")
            self.remove(cursor, own)
            cursor.execute(f"CREATE VIEW {self.sql_name(own)} AS {duckdb_sql}")
            record = f"INSERT INTO {METADATA}.tables VALUES (?, ?, ?, NULL)"
            cursor.execute(record, [own.dataset, own.table, encode(spec).decode()])
            cursor.execute(f"INSERT INTO {METADATA}.views VALUES (?, ?, ?)", [own.dataset, own.table, query])

    def query_of(self, ref: TableRef) -> str | None:
        """The GoogleSQL of a view; None for anything else."""
        with contextlib.closing(self._database.cursor()) as cursor, translated():
            return self._query_of(cursor, self._own(ref))

    def _query_of(self, cursor: duckdb.DuckDBPyConnection, ref: TableRef) -> str | None:
        select = f"SELECT query FROM {METADATA}.views WHERE dataset_id = ? AND table_id = ?"
        row = cursor.execute(select, [ref.dataset, ref.table]).fetchone()
        return str(row[0]) if row else None

    def rename(
        self, cursor: duckdb.DuckDBPyConnection, fresh: TableRef, ref: TableRef, *, expire_time: datetime | None
    ) -> None:
        """Put a table in place of another, in the caller's transaction."""
        self.remove(cursor, self._own(ref))
        cursor.execute(f"ALTER TABLE {self.sql_name(fresh)} RENAME TO {quote(ref.table)}")
        change = f"UPDATE {METADATA}.tables SET table_id = ?, expire_time = ? WHERE dataset_id = ? AND table_id = ?"
        cursor.execute(change, [ref.table, expire_time, fresh.dataset, fresh.table])

    def find(self, ref: TableRef) -> tuple[TableSpec, datetime | None]:
        """A table's specification and expiry. Raises ObjectNotFound, also for one that has expired."""
        with contextlib.closing(self._database.cursor()) as cursor, translated():
            return self._find(cursor, ref)

    def _find(self, cursor: duckdb.DuckDBPyConnection, ref: TableRef) -> tuple[TableSpec, datetime | None]:
        select = f"SELECT spec, expire_time::VARCHAR FROM {METADATA}.tables WHERE dataset_id = ? AND table_id = ?"
        own = self._own(ref)
        row = cursor.execute(select, [own.dataset, own.table]).fetchone()
        expire_time = _time(row[1]) if row else None
        if row is None or (expire_time is not None and expire_time <= self._clock.now()):
            raise ObjectNotFound("No such table")
        spec: TableSpec = decode(TableSpec, row[0].encode())
        return spec, expire_time

    def get_table(self, ref: TableRef) -> Table:
        """Raises ObjectNotFound."""
        spec, expire_time = self.find(ref)
        return Table(ref, spec, 0 if self.query_of(ref) is not None else self.count(ref), expire_time)

    def list_tables(self, dataset_id: str) -> list[TableRef]:
        """Every table and view of a dataset that has not expired, by name. Raises ObjectNotFound."""
        self.get_dataset(dataset_id)
        select = (
            f"SELECT dataset_id, table_id FROM {METADATA}.tables WHERE dataset_id = ? "
            "AND (expire_time IS NULL OR expire_time > ?) ORDER BY table_id"
        )
        with contextlib.closing(self._database.cursor()) as cursor, translated():
            return [TableRef(*row) for row in cursor.execute(select, [dataset_id, self._clock.now()]).fetchall()]

    def count(self, ref: TableRef) -> int:
        """The rows of a table that exists."""
        with contextlib.closing(self._database.cursor()) as cursor, translated():
            row = cursor.execute(f"SELECT count(*) FROM {self.sql_name(ref)}").fetchone()
        return int(row[0]) if row else 0

    def delete_table(self, ref: TableRef) -> None:
        """No error where there is none."""
        with self._changing, self._database.transaction() as cursor:
            self.remove(cursor, self._own(ref))

    def remove(self, cursor: duckdb.DuckDBPyConnection, ref: TableRef) -> None:
        """Delete a table or view in the caller's transaction, if there is one."""
        known = f"DELETE FROM {METADATA}.tables WHERE dataset_id = ? AND table_id = ?"
        removed = cursor.execute(known, [ref.dataset, ref.table]).fetchone()
        if removed and removed[0]:
            view = f"DELETE FROM {METADATA}.views WHERE dataset_id = ? AND table_id = ?"
            viewed = cursor.execute(view, [ref.dataset, ref.table]).fetchone()
            cursor.execute(f"DROP {'VIEW' if viewed and viewed[0] else 'TABLE'} {self.sql_name(ref)}")

    def sweep(self) -> int:
        """Delete the tables that have expired and say how many; one that is being written is left for the next time."""
        select = f"SELECT dataset_id, table_id FROM {METADATA}.tables WHERE expire_time <= ?"
        with contextlib.closing(self._database.cursor()) as cursor, translated():
            expired = [TableRef(*row) for row in cursor.execute(select, [self._clock.now()]).fetchall()]
        swept = 0
        for ref in expired:
            with contextlib.suppress(WarehouseError), self._changing:
                swept += self._drop_if_expired(ref)
        return swept

    def sql_name(self, ref: TableRef) -> str:
        """The table's name in DuckDB's SQL. Raises ObjectNotFound for another project's."""
        own = self._own(ref)
        return f"{quote(own.dataset)}.{quote(own.table)}"

    def _own(self, ref: TableRef) -> TableRef:
        if ref.project not in (None, self._project):
            raise ObjectNotFound("No such table: it is of another project")
        return TableRef(ref.dataset, ref.table)

    def _drop_if_expired(self, ref: TableRef) -> bool:
        with self._database.transaction() as cursor:
            gone = f"SELECT 1 FROM {METADATA}.tables WHERE dataset_id = ? AND table_id = ? AND expire_time <= ?"
            if not cursor.execute(gone, [ref.dataset, ref.table, self._clock.now()]).fetchone():
                return False
            self.remove(cursor, TableRef(ref.dataset, ref.table))
        return True

    def _datasets(self, where: str, values: Sequence[Any]) -> list[Dataset]:
        select = f"SELECT dataset_id, location, labels, create_time::VARCHAR, etag FROM {METADATA}.datasets {where}"
        with contextlib.closing(self._database.cursor()) as cursor, translated():
            rows = cursor.execute(select, values).fetchall()
        return [
            Dataset(name, location, json.loads(labels), datetime.fromisoformat(created), etag)
            for name, location, labels, created, etag in rows
        ]


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _definition(column: Column) -> str:
    # An array is never NULL in BigQuery.
    ending = {"REQUIRED": " NOT NULL", "REPEATED": " DEFAULT []", "NULLABLE": ""}[column.mode]
    return f"{quote(column.name)} {duckdb_type(column)}{ending}"


def _check(ref: TableRef, spec: TableSpec) -> None:
    if not _NAME.fullmatch(ref.table):
        raise Terminal(f"{ref.table!r} cannot be a table's name")
    if not spec.columns:
        raise Terminal("A table needs a column")
    columns = {column.name: column for column in spec.columns}
    if len({name.lower() for name in columns}) != len(spec.columns):
        raise Terminal("Two columns have the same name")
    if any(column.type == "RECORD" and not column.fields for column in spec.columns):
        raise Terminal("A RECORD needs fields")
    partition = columns.get(spec.partition_column) if spec.partition_column is not None else None
    if spec.partition_column is not None and (
        partition is None or partition.type not in PARTITION_TYPES or partition.mode == "REPEATED"
    ):
        raise Terminal("A table is partitioned by a DATE or TIMESTAMP column")
    if not set(spec.clustering) <= set(columns):
        raise Terminal("A table is clustered by columns of its own")
