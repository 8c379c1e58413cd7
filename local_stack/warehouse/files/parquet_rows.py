"""The rows of a Parquet file, which says itself what its columns are: they must be those that were asked for, whatever their order.

https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-parquet#type_conversions
"""

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from common.warehouse.columns import Column, ColumnType, same_columns
from local_stack.warehouse.files.folders import SourceFile
from local_stack.warehouse.files.parquet_size import bounded_batches
from local_stack.warehouse.files.refused import FileRefused

BATCH_ROWS = 2048
_NUMERIC_DIGITS, _NUMERIC_SCALE = 29, 9
_TYPES: dict[ColumnType, Any] = {
    "STRING": lambda t: pa.types.is_string(t) or pa.types.is_large_string(t),
    "BYTES": lambda t: pa.types.is_binary(t) or pa.types.is_large_binary(t) or pa.types.is_fixed_size_binary(t),
    "INT64": lambda t: pa.types.is_integer(t) and t != pa.uint64(),
    "FLOAT64": pa.types.is_floating,
    "NUMERIC": lambda t: (
        pa.types.is_decimal(t) and 0 <= t.scale <= _NUMERIC_SCALE and t.precision - t.scale <= _NUMERIC_DIGITS
    ),
    "BOOL": pa.types.is_boolean,
    "DATE": pa.types.is_date32,
    "DATETIME": lambda t: pa.types.is_timestamp(t) and t.tz is None,
    "TIMESTAMP": lambda t: pa.types.is_timestamp(t) and t.tz is not None,
}


def parquet_columns(file: SourceFile) -> tuple[Column, ...]:
    """The columns of a file. Raises FileRefused, FilesMissing."""
    with file.open() as opened:
        return _columns(_opened(opened, file.name), file.name)


def parquet_batches(
    opened: BinaryIO, name: str, columns: Sequence[Column], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """The rows, in the types and the order of `columns`. Raises FileRefused."""
    parquet = _opened(opened, name)
    if not same_columns(_columns(parquet, name), columns):
        raise FileRefused(name, "it has other columns")
    places = {field.name.lower(): number for number, field in enumerate(parquet.schema_arrow)}
    try:
        for batch in bounded_batches(parquet, opened, name, batch_rows=BATCH_ROWS):
            arrays = [_cast(batch.column(places[column.name.lower()]), schema.field(column.name)) for column in columns]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)
    except (pa.ArrowException, OSError):
        raise FileRefused(name, "it is damaged, or a value of it does not fit its column") from None


def _opened(opened: BinaryIO, name: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(opened)
    except (pa.ArrowException, OSError):
        raise FileRefused(name, "it is no Parquet file") from None


def _columns(parquet: pq.ParquetFile, name: str) -> tuple[Column, ...]:
    columns = tuple(_column(field, name) for field in parquet.schema_arrow)
    if len({column.name.lower() for column in columns}) != len(columns):
        raise FileRefused(name, "two columns have the same name")
    return columns


def _column(field: "pa.Field[Any]", name: str) -> Column:
    if pa.types.is_list(field.type) or pa.types.is_large_list(field.type):
        element = _column(field.type.value_field, name)
        if element.mode == "REPEATED":
            raise FileRefused(name, f"{field.name} is an array of arrays")
        return Column(field.name, element.type, "REPEATED", element.fields)
    if pa.types.is_struct(field.type):
        return Column(field.name, "RECORD", fields=tuple(_column(inner, name) for inner in field.type))
    for column_type, is_of in _TYPES.items():
        if is_of(field.type):
            return Column(field.name, column_type)
    raise FileRefused(name, f"{field.name} is of a type that no column has")


def _cast(array: "pa.Array[Any]", field: "pa.Field[Any]") -> "pa.Array[Any]":
    """The array in the field's type. An array is never NULL in BigQuery."""
    if pa.types.is_list(field.type) and array.null_count:
        array = pa.array([[] if item is None else item for item in array.to_pylist()], type=array.type)
    return array.cast(field.type)
