"""What a statement will run as, and the bytes that it is said to read.

Basis of the bytes: for every table that the statement names, its rows times the width of all its columns, in BigQuery's sizes (8 bytes for
INT64, FLOAT64, DATE, DATETIME and TIMESTAMP, 16 for NUMERIC, 1 for BOOL) and, instead of measuring, 24 for STRING, BYTES and JSON and two
elements for an array. Neither columns that are not read nor partitions that are skipped are taken off. Billed are at least 10 MiB a table.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from common.errors import ObjectNotFound, Terminal
from common.warehouse.columns import Column, ColumnType
from common.warehouse.estimate import MINIMUM_BILLED_BYTES
from common.warehouse.warehouse import Statement, TableRef
from local_stack.warehouse.catalog import Catalog
from local_stack.warehouse.transpile import Translation, tables_of, transpile

_WIDTHS: dict[ColumnType, int] = {
    "INT64": 8,
    "FLOAT64": 8,
    "DATE": 8,
    "DATETIME": 8,
    "TIMESTAMP": 8,
    "NUMERIC": 16,
    "BOOL": 1,
    "STRING": 24,
    "BYTES": 24,
    "JSON": 24,
}
_ELEMENTS = 2


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """A statement in DuckDB's terms, its estimated bytes, every table and view that it reads, also behind views, and how many of them are
    tables."""

    translation: Translation
    bytes_processed: int
    bytes_billed: int
    read: frozenset[TableRef]
    tables: int


class QueryPlanner:
    """Safe to use from many threads."""

    def __init__(self, catalog: Catalog, *, project: str) -> None:
        self._catalog = catalog
        self._project = project

    def plan(self, statement: Statement, *, max_bytes_billed: int | None = None) -> QueryPlan:
        """Translate a statement and hold it against its limit. Raises Terminal, also for a table that does not exist: to the caller
        of a statement ObjectNotFound would speak of something else."""
        try:
            plan = self.plan_existing(statement)
        except ObjectNotFound as error:
            raise Terminal("A table or dataset that the statement names does not exist") from error
        if max_bytes_billed is not None and plan.bytes_billed > max_bytes_billed:
            raise Terminal("The statement would bill more bytes than allowed", reason="BYTES_BILLED_LIMIT")
        return plan

    def plan_existing(self, statement: Statement) -> QueryPlan:
        """Translate a statement. Raises Terminal, ObjectNotFound for a table that does not exist."""
        schema = {ref: self._catalog.find(ref)[0].columns for ref in tables_of(statement.sql, project=self._project)}
        read: dict[TableRef, int | None] = {}
        for ref in schema:
            self._measure(ref, read)
        sizes = [size for size in read.values() if size is not None]
        billed = sum(max(size, MINIMUM_BILLED_BYTES) for size in sizes)
        translation = transpile(statement, project=self._project, schema=schema)
        return QueryPlan(translation, sum(sizes), billed, frozenset(read), len(sizes))

    def _measure(self, ref: TableRef, read: dict[TableRef, int | None]) -> None:
        """Add a table's bytes to `read`, or, without any, a view and what it reads."""
        if ref in read:
            return
        query = self._catalog.query_of(ref)
        if query is None:
            read[ref] = self._catalog.count(ref) * width(self._catalog.find(ref)[0].columns)
            return
        read[ref] = None
        for behind in tables_of(query, project=self._project):
            self._measure(behind, read)


def width(columns: Sequence[Column]) -> int:
    """The assumed bytes of one row."""
    return sum(
        (width(column.fields) if column.type == "RECORD" else _WIDTHS[column.type])
        * (_ELEMENTS if column.mode == "REPEATED" else 1)
        for column in columns
    )
