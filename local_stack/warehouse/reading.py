"""Streams of rows out of DuckDB, a batch at a time, in the types that the port has."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from common.errors import Terminal, WarehouseError
from common.warehouse.columns import Column, ColumnType
from local_stack.warehouse.column_types import columns_of
from local_stack.warehouse.database import Database, masked, translated
from local_stack.warehouse.stop import Stop
from local_stack.warehouse.transpile import Bound

NUMERIC_SCALE = 9
_ARROW: dict[ColumnType, pa.DataType] = {
    "STRING": pa.string(),
    "BYTES": pa.binary(),
    "INT64": pa.int64(),
    "FLOAT64": pa.float64(),
    "NUMERIC": pa.decimal128(38, NUMERIC_SCALE),
    "BOOL": pa.bool_(),
    "DATE": pa.date32(),
    "DATETIME": pa.timestamp("us"),
    "TIMESTAMP": pa.timestamp("us", "UTC"),
    "JSON": pa.string(),
}


class Reading:
    """An iterator over batches of a SELECT's rows. It owns a cursor: close it, or drop it, when not read to its end."""

    def __init__(
        self,
        database: Database,
        sql: str,
        values: Mapping[str, Bound] | None = None,
        *,
        columns: tuple[Column, ...] | None = None,
        batch_rows: int,
        timeout_seconds: float,
    ) -> None:
        """`columns` where the result's are known better than DuckDB's types tell. Runs up to the first row: raises Terminal, Transient."""
        self._stop = Stop()
        self._stack = contextlib.ExitStack()
        try:
            cursor = self._stack.enter_context(contextlib.closing(database.cursor()))
            self._stack.enter_context(self._stop.watching(cursor, timeout_seconds=timeout_seconds))
            with translated():
                relation = cursor.sql(sql, params=values)
                self.columns = columns or columns_of(relation)
                self._batches: Iterator[pa.RecordBatch] = relation.to_arrow_reader(batch_rows)
        except WarehouseError as error:
            raise self._ended(error) from error
        self.schema = schema_of(self.columns)

    def __iter__(self) -> "Reading":
        return self

    def __next__(self) -> pa.RecordBatch:
        """The next batch, in the types of `schema`. Raises Terminal, also when the time is up."""
        try:
            return _conformed(next(self._batches), self.schema)
        except StopIteration:
            self.close()
            raise
        except (pa.ArrowException, OSError) as error:  # what DuckDB raises from inside an Arrow stream
            raise self._ended(Terminal(masked(str(error)))) from error

    def close(self) -> None:
        """Stop the statement and free what it holds. May be called twice."""
        self._batches = iter(())
        with contextlib.suppress(WarehouseError):
            self._stack.close()

    __del__ = close

    def _ended(self, error: WarehouseError) -> WarehouseError:
        self.close()
        return self._stop.reason or error


def schema_of(columns: Sequence[Column]) -> pa.Schema:
    """The Arrow schema of the port's columns."""
    return pa.schema([(column.name, _arrow_type(column)) for column in columns])


def _arrow_type(column: Column) -> pa.DataType:
    arrow_type = _ARROW.get(column.type) or pa.struct([(field.name, _arrow_type(field)) for field in column.fields])
    return pa.list_(arrow_type) if column.mode == "REPEATED" else arrow_type


def _conformed(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    if batch.schema.equals(schema):
        return batch
    arrays = [_conformed_array(batch.column(index), field.type) for index, field in enumerate(schema)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _conformed_array(array: "pa.Array[Any]", arrow_type: pa.DataType) -> "pa.Array[Any]":
    if pa.types.is_decimal(array.type) and pa.types.is_decimal(arrow_type) and array.type.scale > NUMERIC_SCALE:
        array = pc.round(array, NUMERIC_SCALE, round_mode="half_towards_infinity")
    return array.cast(arrow_type)
