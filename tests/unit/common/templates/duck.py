"""A DuckDB that executes resolved statements as the local warehouse does, without the server around it."""

from collections.abc import Iterable, Mapping
from typing import Any

import duckdb
import pyarrow as pa

from common.templates.resolved import ResolvedCheck
from common.warehouse.warehouse import Statement
from local_stack.billing_export import ARROW_SCHEMA
from local_stack.warehouse.transpile import transpile


class Duck:
    """One database in memory, with the datasets `acme` and `exports`."""

    def __init__(self) -> None:
        self._connection = duckdb.connect()
        self._connection.execute("SET TimeZone = 'UTC'; CREATE SCHEMA acme; CREATE SCHEMA exports")

    def load_export(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Make `exports.billing` hold these rows of a billing export; columns that a row leaves out are NULL."""
        self._connection.register("loaded", pa.Table.from_pylist(list(rows), schema=ARROW_SCHEMA))
        self._connection.execute("CREATE OR REPLACE TABLE exports.billing AS SELECT * FROM loaded")
        self._connection.unregister("loaded")

    def stage(self, table: str, statement: Statement) -> None:
        """Make `acme.{table}` hold what a statement yields."""
        translation = transpile(statement, project="own")
        self._connection.execute(f"CREATE OR REPLACE TABLE acme.{table} AS {translation.sql}", translation.values)

    def read(self, statement: Statement) -> list[dict[str, Any]]:
        """The rows that a statement yields."""
        translation = transpile(statement, project="own")
        result = self._connection.execute(translation.sql, translation.values)
        columns = [column[0] for column in result.description]
        return [dict(zip(columns, row, strict=True)) for row in result.fetchall()]

    def measure(self, check: ResolvedCheck, table: str) -> dict[str, Any]:
        """The one row that a check of `acme.{table}` yields, with its `sample`, None where it has none."""
        (row,) = self.read(_of(table, check.measure.statement))
        return {**row, "sample": self.read(_of(table, check.sample.statement)) if check.sample else None}

    def close(self) -> None:
        """Free the database."""
        self._connection.close()


def _of(table: str, statement: Statement) -> Statement:
    return Statement(f"WITH checked AS (SELECT * FROM `acme.{table}`) {statement.sql}", statement.parameters)
