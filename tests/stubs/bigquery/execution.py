"""What a job does: runs its statement, reads files or copies rows, under the rules of destinations and partitions.

https://cloud.google.com/bigquery/docs/reference/rest/v2/Job, https://cloud.google.com/bigquery/docs/managing-partitioned-tables
"""

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Protocol

import duckdb

from common.errors import ObjectNotFound, WarehouseError
from common.warehouse.columns import Column
from common.warehouse.warehouse import Statement, TableRef
from local_stack.warehouse.transpile import Translation
from tests.stubs.bigquery import cells
from tests.stubs.bigquery.answers import ApiError
from tests.stubs.bigquery.catalog import Catalog, StoredTable, split_decorator
from tests.stubs.bigquery.engine import Engine, in_day
from tests.stubs.bigquery.faults import Faults
from tests.stubs.bigquery.loading import as_api_error, opened_files

ANONYMOUS = "_results"
"""The hidden dataset of results without a destination."""
LEAST_BYTES = 10 << 20
"""Billed for each table that a query reads, at least."""


class RunningJob(Protocol):
    """What an execution needs of a job."""

    job_id: str
    configuration: dict[str, Any]
    statistics: dict[str, Any]
    cursor: duckdb.DuckDBPyConnection


class Execution:
    """Runs one job. A failure leaves everything as it was."""

    def __init__(
        self, job: RunningJob, catalog: Catalog, engine: Engine, faults: Faults, buckets: Mapping[str, Path]
    ) -> None:
        self._job = job
        self._catalog = catalog
        self._engine = engine
        self._faults = faults
        self._buckets = buckets

    def run(self) -> None:
        if "copy" in self._job.configuration:
            self._copy(self._job.configuration["copy"])
        elif "load" in self._job.configuration:
            self._load(self._job.configuration["load"])
        else:
            self._query(self._job.configuration["query"])

    def validate(self) -> None:
        """Analyse a query and say what it would read: a dry run."""
        query = self._job.configuration["query"]
        translation = self._analysed(query)
        statistics: dict[str, Any] = {"statementType": translation.kind}
        self._bill(query, translation, statistics)
        accuracy = self._faults.accuracy
        self._job.statistics["query"] = {**statistics, "totalBytesBilled": "0", "totalBytesProcessedAccuracy": accuracy}

    def _fail_as_told(self) -> None:
        if reason := self._faults.job_failure(self._job.job_id):
            raise ApiError(reason, "A fault was injected")

    def _query(self, query: dict[str, Any]) -> None:
        translation = self._analysed(query)
        statistics = self._job.statistics.setdefault("query", {"statementType": translation.kind})
        self._bill(query, translation, statistics)
        self._fail_as_told()
        if translation.kind == "SELECT":
            self._write(query, translation)
        else:
            affected = self._engine.change(self._job.cursor, translation)
            statistics["numDmlAffectedRows"] = str(affected)

    def _analysed(self, query: Mapping[str, Any]) -> Translation:
        parameters = tuple(cells.parameter(resource) for resource in query.get("queryParameters", ()))
        try:
            translation = self._catalog.translated(Statement(query["query"], parameters))
        except ObjectNotFound as error:
            raise ApiError("notFound", str(error)) from error
        except WarehouseError as error:
            raise ApiError("invalidQuery", str(error)) from error
        for ref in translation.tables:
            self._catalog.table(ref)
        self._job.cursor.execute(f"EXPLAIN {translation.sql}", translation.values or None)
        return translation

    def _bill(self, query: Mapping[str, Any], translation: Translation, statistics: dict[str, Any]) -> None:
        """Eight bytes a cell, and at least LEAST_BYTES a table."""
        sizes = [8 * len(self._catalog.table(ref).columns) * self._engine.count(ref) for ref in translation.tables]
        billed = sum(max(size, LEAST_BYTES) for size in sizes)
        if billed > int(query.get("maximumBytesBilled", billed)):
            raise ApiError("bytesBilledLimitExceeded", f"Query exceeded limit for bytes billed: {billed} required")
        self._job.statistics["totalBytesProcessed"] = str(sum(sizes))
        referenced = [{"datasetId": ref.dataset, "tableId": ref.table} for ref in translation.tables]
        statistics |= {
            "totalBytesProcessed": str(sum(sizes)),
            "totalBytesBilled": str(billed),
            "referencedTables": referenced,
        }

    def _write(self, query: Mapping[str, Any], translation: Translation) -> None:
        """Put the result into its destination: the table, or the partition that its decorator names."""
        self._put(query, lambda scratch: self._engine.write_result(self._job.cursor, translation, scratch))

    def _load(self, load: Mapping[str, Any]) -> None:
        self._fail_as_told()
        if load.get("writeDisposition") != "WRITE_TRUNCATE":
            raise ApiError("notImplemented", "This stub appends no files")
        columns = cells.columns(load.get("schema", {}).get("fields", ()))
        rows = opened_files(self._job.job_id, load, columns, self._buckets)

        def write(scratch: TableRef) -> None:
            try:
                self._engine.write_rows(self._job.cursor, rows, scratch)
            except duckdb.Error as error:
                raise (as_api_error(rows.failure, load) if rows.failure else error) from error

        self._put(load, write, rows.columns)
        written = self._engine.count(_split(load["destinationTable"])[0])
        self._job.statistics["load"] = {"outputRows": str(written)}

    def _put(
        self, query: Mapping[str, Any], write: Callable[[TableRef], None], of: tuple[Column, ...] | None = None
    ) -> None:
        """Put what is written to a scratch table into the destination that a configuration names."""
        ref, day = _split(query["destinationTable"])
        scratch = TableRef(ANONYMOUS, "new_" + self._job.job_id)
        if ref.dataset != ANONYMOUS:
            self._catalog.require_dataset(ref.dataset)
        write(scratch)
        try:
            columns = of or self._engine.columns(scratch)
            existing = self._catalog.find(ref)
            if day:
                self._into_partition(existing, scratch, columns, ref, day)
                return
            self._check_layout(query, columns, existing)
            self._engine.recreate(self._job.cursor, scratch, ref, columns)
            self._catalog.put(ref, columns, query)
        finally:
            self._engine.drop_table(scratch)

    def _into_partition(
        self, existing: StoredTable | None, scratch: TableRef, columns: tuple[Column, ...], ref: TableRef, day: date
    ) -> None:
        if existing is None or existing.partition_column is None:
            raise ApiError("notFound", "Not found: a partitioned table of that name")
        _check_columns(columns, existing.columns)
        inside = in_day(existing.partition_column, day)
        if self._engine.count(scratch, inside) != self._engine.count(scratch):
            raise ApiError("invalid", "Some rows belong to different partitions rather than the destination partition")
        self._engine.replace(self._job.cursor, scratch, ref, where=inside)

    def _check_layout(
        self, query: Mapping[str, Any], columns: tuple[Column, ...], existing: StoredTable | None
    ) -> None:
        wanted = query.get("timePartitioning", {}).get("field")
        if wanted and not any(c.name == wanted and c.type in {"DATE", "TIMESTAMP", "DATETIME"} for c in columns):
            raise ApiError("invalid", "The field specified for partitioning cannot be found or has another type")
        if existing and existing.partition_column != wanted:
            raise ApiError("invalid", "Incompatible table partitioning specification")

    def _copy(self, copy: Mapping[str, Any]) -> None:
        sources = copy.get("sourceTables") or [copy["sourceTable"]]
        source, from_day = _split(sources[0])
        target, to_day = _split(copy["destinationTable"])
        rows, into = self._catalog.table(source), self._catalog.find(target)
        self._fail_as_told()
        if into is None:
            if to_day or copy.get("createDisposition") == "CREATE_NEVER":
                raise ApiError("notFound", f"Not found: Table {target}")
            self._engine.create_table(target, rows.columns)
            self._catalog.put(target, rows.columns, rows.resource)
            into = self._catalog.table(target)
        if copy.get("writeDisposition") == "WRITE_EMPTY":
            _check_columns(rows.columns, into.columns)
            copied = self._engine.fill(self._job.cursor, source, target)
            if copied is None:
                raise ApiError("duplicate", f"Already Exists: Table {target}")
            self._job.statistics["copy"] = {"copiedRows": str(copied)}
            return
        if from_day or to_day:
            if rows.partition_column != into.partition_column or from_day != to_day:
                raise ApiError("invalid", "Incompatible table partitioning specification")
            _check_columns(rows.columns, into.columns)
        where = in_day(rows.partition_column, from_day) if from_day and rows.partition_column else "TRUE"
        if from_day and not self._engine.count(source, where):
            raise ApiError("notFound", f"Not found: Table {source}${from_day:%Y%m%d}")
        copied = self._engine.replace(self._job.cursor, source, target, where=where)
        self._job.statistics["copy"] = {"copiedRows": str(copied)}


def _split(reference: Mapping[str, str]) -> tuple[TableRef, date | None]:
    table, day = split_decorator(reference["tableId"])
    return TableRef(reference["datasetId"], table), day


def _check_columns(rows: tuple[Column, ...], into: tuple[Column, ...]) -> None:
    """A partition takes rows of the table's own columns, none of them laxer."""
    required = {column.name for column in into if column.mode == "REQUIRED"}
    lax = any(column.name in required and column.mode != "REQUIRED" for column in rows)
    if lax or {(c.name, c.type) for c in rows} != {(c.name, c.type) for c in into}:
        raise ApiError("invalid", "Provided Schema does not match")
