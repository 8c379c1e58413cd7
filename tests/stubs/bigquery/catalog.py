"""Datasets and tables as resources, with their etags.

https://cloud.google.com/bigquery/docs/reference/rest/v2/datasets, https://cloud.google.com/bigquery/docs/reference/rest/v2/tables
"""

import re
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal

import duckdb

from common.errors import WarehouseError
from common.warehouse.columns import Column
from common.warehouse.warehouse import Statement, TableRef
from local_stack.warehouse.transpile import Translation, tables_of, transpile
from tests.stubs.bigquery import cells
from tests.stubs.bigquery.answers import ApiError
from tests.stubs.bigquery.engine import Engine, in_day

_DECORATED = re.compile(r"(?P<table>[^$]+)\$(?P<day>\d{8})")


def _now() -> str:
    return str(int(time.time() * 1000))


@dataclass
class StoredDataset:
    resource: dict[str, Any]
    etag: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass
class StoredTable:
    columns: tuple[Column, ...]
    partition_column: str | None
    resource: dict[str, Any]
    etag: str = field(default_factory=lambda: uuid.uuid4().hex)
    kind: Literal["TABLE", "VIEW"] = "TABLE"

    @property
    def expired(self) -> bool:
        return int(self.resource.get("expirationTime", 1 << 62)) <= time.time() * 1000


def split_decorator(table: str) -> tuple[str, date | None]:
    """`costs$20251115` is the table `costs` and a day."""
    if found := _DECORATED.fullmatch(table):
        return found["table"], datetime.strptime(found["day"], "%Y%m%d").date()  # noqa: DTZ007 - a day
    return table, None


def _etag(stored: StoredTable, rows: str) -> str:
    """A table's etag changes with its rows, too."""
    return f"{stored.etag}-{rows}"


class Catalog:
    """Every dataset and table of one project. One lock: what a method does is atomic."""

    def __init__(self, project: str, engine: Engine) -> None:
        self.project = project
        self._engine = engine
        self._datasets: dict[str, StoredDataset] = {}
        self._tables: dict[TableRef, StoredTable] = {}
        self._views: dict[TableRef, str] = {}
        self._lock = threading.RLock()

    def insert_dataset(self, body: Mapping[str, Any]) -> dict[str, Any]:
        name = body["datasetReference"]["datasetId"]
        with self._lock:
            if name in self._datasets:
                raise ApiError("duplicate", f"Already Exists: Dataset {self.project}:{name}")
            self._engine.create_dataset(name)
            kept = {key: body[key] for key in ("location", "labels", "description") if key in body}
            self._datasets[name] = StoredDataset({**kept, "creationTime": _now()})
            return self.get_dataset(name)

    def get_dataset(self, name: str) -> dict[str, Any]:
        with self._lock:
            stored = self._dataset(name)
            reference = {"projectId": self.project, "datasetId": name}
            return {**stored.resource, "datasetReference": reference, "etag": stored.etag}

    def patch_dataset(self, name: str, body: Mapping[str, Any], if_match: str | None) -> dict[str, Any]:
        with self._lock:
            stored = self._dataset(name)
            if if_match is not None and if_match != stored.etag:
                raise ApiError("conditionNotMet", "Precondition Failed")
            labels = {**stored.resource.get("labels", {}), **body.get("labels", {})}
            stored.resource["labels"] = {key: value for key, value in labels.items() if value is not None}
            stored.etag = uuid.uuid4().hex
            return self.get_dataset(name)

    def list_datasets(self, label: str | None) -> list[dict[str, Any]]:
        """The listing has neither etags nor times."""
        with self._lock:
            return [
                {
                    "datasetReference": {"projectId": self.project, "datasetId": name},
                    "labels": stored.resource.get("labels", {}),
                }
                for name, stored in sorted(self._datasets.items())
                if label is None or label in stored.resource.get("labels", {})
            ]

    def insert_table(self, dataset: str, body: Mapping[str, Any]) -> dict[str, Any]:
        ref = TableRef(dataset, body["tableReference"]["tableId"])
        with self._lock:
            self._dataset(dataset)
            if self.find(ref):
                raise ApiError("duplicate", f"Already Exists: Table {self.project}:{ref}")
            if "view" in body:
                self._create_view(ref, body["view"]["query"])
                return self.get_table(ref)
            columns = cells.columns(body["schema"]["fields"])
            self._engine.create_table(ref, columns)
            self.put(ref, columns, body)
            return self.get_table(ref)

    def _create_view(self, ref: TableRef, query: str) -> None:
        """Put a view in place of the one that there is. What it reads must exist, and must not read the view itself."""
        try:
            translation = self.translated(Statement(query))
            for table in translation.tables:
                self.table(table)
            if ref in self._behind(query):
                raise ApiError("invalidQuery", f"View {ref} references itself")
            self._engine.create_view(ref, translation)
        except (WarehouseError, duckdb.Error) as error:
            raise ApiError("invalidQuery", str(error)) from error
        self._views[ref] = query
        self._tables[ref] = StoredTable(self._engine.columns(ref), None, {"creationTime": _now()}, kind="VIEW")

    def _behind(self, query: str) -> set[TableRef]:
        """What a query reads, also behind views."""
        read = set(tables_of(query, project=self.project))
        return read.union(*(self._behind(self._views[ref]) for ref in read if self.table(ref).kind == "VIEW"))

    def list_tables(self, dataset: str) -> list[dict[str, Any]]:
        """Tables and views, with little of what is known of them."""
        with self._lock:
            self._dataset(dataset)
            return [
                {"tableReference": self._reference(ref), "type": stored.kind}
                for ref, stored in sorted(self._tables.items(), key=lambda item: item[0].table)
                if ref.dataset == dataset and not stored.expired
            ]

    def _reference(self, ref: TableRef) -> dict[str, str]:
        return {"projectId": self.project, "datasetId": ref.dataset, "tableId": ref.table}

    def get_table(self, ref: TableRef) -> dict[str, Any]:
        with self._lock:
            stored = self.table(ref)
            rows = self._rows(ref, stored)
            return {
                **stored.resource,
                "tableReference": self._reference(ref),
                "schema": {"fields": cells.fields(stored.columns)},
                **({"numRows": rows} if stored.kind == "TABLE" else {}),
                "type": stored.kind,
                "etag": _etag(stored, rows),
            }

    def _rows(self, ref: TableRef, stored: StoredTable) -> str:
        """How many rows a table has; nothing for a view."""
        return str(self._engine.count(ref)) if stored.kind == "TABLE" else ""

    def patch_table(self, ref: TableRef, body: Mapping[str, Any], if_match: str | None) -> dict[str, Any]:
        with self._lock:
            stored = self.table(ref)
            if if_match is not None and if_match != _etag(stored, self._rows(ref, stored)):
                raise ApiError("conditionNotMet", "Precondition Failed")
            if "view" in body and stored.kind == "VIEW":
                self._create_view(ref, body["view"]["query"])
                return self.get_table(ref)
            if "schema" in body:
                self._patch_schema(ref, stored, cells.columns(body["schema"]["fields"]))
            stored.resource.update({key: body[key] for key in ("expirationTime", "description") if key in body})
            stored.etag = uuid.uuid4().hex
            return self.get_table(ref)

    def _patch_schema(self, ref: TableRef, stored: StoredTable, columns: tuple[Column, ...]) -> None:
        """A schema is replaced as a whole: each column that exists has to be in it, and only columns that may be empty can be added."""
        if {(c.name, c.type, c.mode) for c in stored.columns} - {(c.name, c.type, c.mode) for c in columns}:
            raise ApiError("invalid", "Provided Schema does not match Table")
        if len({column.name.lower() for column in columns}) != len(columns):
            raise ApiError("invalid", "Duplicate column names")
        known = {column.name for column in stored.columns}
        added = tuple(column for column in columns if column.name not in known)
        if any(column.mode == "REQUIRED" for column in added):
            raise ApiError("invalid", "Cannot add required columns to an existing schema")
        self._engine.add_columns(ref, added)
        stored.columns += added

    def delete_table(self, dataset: str, name: str) -> None:
        """Delete a table, or with a decorator one partition."""
        table, day = split_decorator(name)
        ref = TableRef(dataset, table)
        with self._lock:
            stored = self.table(ref)
            if day and stored.partition_column:
                self._engine.cursor().execute(
                    f'DELETE FROM "{ref.dataset}"."{ref.table}" WHERE {in_day(stored.partition_column, day)}'
                )
                return
            self._engine.drop_table(ref, stored.kind)
            del self._tables[ref]

    def put(self, ref: TableRef, columns: tuple[Column, ...], layout: Mapping[str, Any]) -> None:
        """Describe a table whose rows exist in the engine. An expiration survives its rows being replaced."""
        with self._lock:
            before = self.find(ref)
            kept = {key: layout[key] for key in ("timePartitioning", "clustering", "description") if key in layout}
            expiration = before.resource.get("expirationTime") if before else None
            if expiration:
                kept["expirationTime"] = expiration
            partition = kept.get("timePartitioning", {}).get("field")
            self._tables[ref] = StoredTable(columns, partition, {**kept, "creationTime": _now()})

    def find(self, ref: TableRef) -> StoredTable | None:
        """A table that exists and has not expired."""
        with self._lock:
            stored = self._tables.get(ref)
            return None if stored is None or stored.expired else stored

    def table(self, ref: TableRef) -> StoredTable:
        """Raises `notFound`."""
        stored = self.find(ref)
        if stored is None:
            raise ApiError("notFound", f"Not found: Table {self.project}:{ref}")
        return stored

    def require_dataset(self, name: str) -> None:
        """Raises `notFound`."""
        with self._lock:
            self._dataset(name)

    def translated(self, statement: Statement) -> Translation:
        """A statement for the engine, its types told by the columns of the tables that it names. Raises what `transpile` does."""
        named = tables_of(statement.sql, project=self.project)
        with self._lock:
            schema = {ref: self._tables[ref].columns for ref in named if ref in self._tables}
        return transpile(statement, project=self.project, schema=schema)

    def _dataset(self, name: str) -> StoredDataset:
        if name not in self._datasets:
            raise ApiError("notFound", f"Not found: Dataset {self.project}:{name}")
        return self._datasets[name]
