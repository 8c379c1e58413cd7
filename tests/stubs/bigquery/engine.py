"""The rows behind the stub: an in-memory DuckDB, one schema per dataset."""

import threading
from collections.abc import Sequence
from datetime import date
from typing import Any, Literal

import duckdb

from common.warehouse.columns import Column
from common.warehouse.warehouse import TableRef
from local_stack.warehouse.column_types import column_of, duckdb_type, quote
from local_stack.warehouse.files.reading import FileRows
from local_stack.warehouse.transpile import Translation


class Engine:
    """Reads at any time, one write at a time. A cursor per call, which the caller may interrupt."""

    def __init__(self) -> None:
        self._root = duckdb.connect(":memory:")
        self._root.execute("SET GLOBAL TimeZone = 'UTC'")
        self._writing = threading.Lock()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        return self._root.cursor()

    def close(self) -> None:
        self._root.close()

    def create_dataset(self, dataset: str) -> None:
        self._root.cursor().execute(f"CREATE SCHEMA {quote(dataset)}")

    def create_table(self, ref: TableRef, columns: Sequence[Column]) -> None:
        with self._writing:
            self._root.cursor().execute(_create(ref, columns))

    def add_columns(self, ref: TableRef, columns: Sequence[Column]) -> None:
        with self._writing:
            for column in columns:
                self._root.cursor().execute(
                    f"ALTER TABLE {_name(ref)} ADD COLUMN {quote(column.name)} {duckdb_type(column)}"
                )

    def create_view(self, ref: TableRef, translation: Translation) -> None:
        with self._writing:
            self._root.cursor().execute(f"CREATE OR REPLACE VIEW {_name(ref)} AS {translation.sql}")

    def drop_table(self, ref: TableRef, kind: Literal["TABLE", "VIEW"] = "TABLE") -> None:
        with self._writing:
            self._root.cursor().execute(f"DROP {kind} IF EXISTS {_name(ref)}")

    def columns(self, ref: TableRef) -> tuple[Column, ...]:
        description = self._root.cursor().execute(f"SELECT * FROM {_name(ref)} LIMIT 0").description
        return tuple(column_of(name, kind) for name, kind, *_ in description or ())

    def count(self, ref: TableRef, condition: str = "TRUE") -> int:
        counted = self._root.cursor().execute(f"SELECT COUNT(*) FROM {_name(ref)} WHERE {condition}").fetchone()
        return int(counted[0]) if counted else 0

    def rows(self, ref: TableRef, names: Sequence[str], *, offset: int, limit: int) -> list[dict[str, Any]]:
        chosen = ", ".join(quote(name) for name in names)
        selected = self._root.cursor().sql(f"SELECT {chosen} FROM {_name(ref)} LIMIT {limit} OFFSET {offset}")
        rows: list[dict[str, Any]] = selected.to_arrow_table().to_pylist()
        return rows

    def write_result(self, cursor: duckdb.DuckDBPyConnection, translation: Translation, into: TableRef) -> None:
        """Put a SELECT's rows in place of a table, or into a new one."""
        with self._writing:
            cursor.execute(f"CREATE OR REPLACE TABLE {_name(into)} AS {translation.sql}", translation.values or None)

    def write_rows(self, cursor: duckdb.DuckDBPyConnection, rows: FileRows, into: TableRef) -> None:
        """Put the rows of files in place of a table, or into a new one."""
        cursor.register("loaded_rows", rows.reader())
        with self._writing:
            cursor.execute(_create(into, rows.columns))
            cursor.execute(f"INSERT INTO {_name(into)} BY NAME SELECT * FROM loaded_rows")

    def change(self, cursor: duckdb.DuckDBPyConnection, translation: Translation) -> int:
        """Run DML and return the rows that it affected."""
        with self._writing:
            affected = cursor.execute(translation.sql, translation.values or None).fetchone()
        return int(affected[0]) if affected else 0

    def replace(
        self, cursor: duckdb.DuckDBPyConnection, source: TableRef, destination: TableRef, *, where: str = "TRUE"
    ) -> int:
        """Replace the rows of `destination` that `where` names by those of `source`, in one transaction."""
        self._atomically(cursor, f"DELETE FROM {_name(destination)} WHERE {where}", _insert(source, destination, where))
        return self.count(destination, where)

    def fill(self, cursor: duckdb.DuckDBPyConnection, source: TableRef, destination: TableRef) -> int | None:
        """Copy rows into a table that has none; None, and nothing is changed, where it has some."""
        with self._writing:
            if self.count(destination):
                return None
            cursor.execute(_insert(source, destination))
            return self.count(destination)

    def recreate(
        self, cursor: duckdb.DuckDBPyConnection, source: TableRef, destination: TableRef, columns: Sequence[Column]
    ) -> None:
        """Put a table of these columns, with the rows of `source`, in place of `destination`, in one transaction."""
        self._atomically(cursor, _create(destination, columns), _insert(source, destination))

    def _atomically(self, cursor: duckdb.DuckDBPyConnection, *statements: str) -> None:
        with self._writing:
            cursor.execute("BEGIN")
            try:
                for statement in statements:
                    cursor.execute(statement)
            except BaseException:
                cursor.execute("ROLLBACK")
                raise
            cursor.execute("COMMIT")


def _create(ref: TableRef, columns: Sequence[Column]) -> str:
    inner = ", ".join(f"{quote(column.name)} {duckdb_type(column)}" for column in columns)
    return f"CREATE OR REPLACE TABLE {_name(ref)} ({inner})"


def _insert(source: TableRef, destination: TableRef, where: str = "TRUE") -> str:
    return f"INSERT INTO {_name(destination)} BY NAME SELECT * FROM {_name(source)} WHERE {where}"


def in_day(column: str, day: date) -> str:
    """The condition that a row lies in a daily partition."""
    return f"CAST({quote(column)} AS DATE) = DATE '{day.isoformat()}'"


def _name(ref: TableRef) -> str:
    return f"{quote(ref.dataset)}.{quote(ref.table)}"
