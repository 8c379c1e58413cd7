"""Reading a Parquet file within bounded memory, whatever it holds: a few hundred bytes of it can stand for gigabytes of rows.

What is compressed or run-length encoded is bounded by what the file says of its column chunks. A value that the file has once and its rows
repeat is kept once until its rows are handed on, a bounded number of bytes at a time.
"""

from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from local_stack.warehouse.files.refused import FileRefused

MOST_CHUNK_BYTES = 512 * 2**20
"""Of one column in one row group, uncompressed."""
MOST_CHUNK_VALUES = 50_000_000
"""Likewise, elements of arrays counted."""
MOST_FIXED_BYTES = 10_000
"""Of a value whose column says its length: these are not kept once, and there may be as many as a batch has rows."""
MOST_BATCH_BYTES = 64 * 2**20
"""Of the rows that are handed on together, and so of one."""


def bounded_batches(
    parquet: pq.ParquetFile, opened: BinaryIO, name: str, *, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    """The rows of a file, in batches of at most so many rows; texts are dictionaries. Raises FileRefused and what Arrow raises."""
    _require_bounded(parquet.metadata, name)
    leaves = [parquet.schema.column(number) for number in range(len(parquet.schema))]
    if any(leaf.physical_type == "FIXED_LEN_BYTE_ARRAY" and (leaf.length or 0) > MOST_FIXED_BYTES for leaf in leaves):
        raise FileRefused(name, f"a column of it has values of more than {MOST_FIXED_BYTES} bytes, all of one length")
    texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY" and leaf.logical_type.type != "DECIMAL"]
    for batch in pq.ParquetFile(opened, read_dictionary=texts).iter_batches(batch_size=batch_rows):
        yield from _halved(batch, name)


def _require_bounded(metadata: pq.FileMetaData, name: str) -> None:
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(number)
            if chunk.total_uncompressed_size > MOST_CHUNK_BYTES:
                raise FileRefused(name, f"a row group of it has more than {MOST_CHUNK_BYTES} bytes in one column")
            if chunk.num_values > MOST_CHUNK_VALUES:
                raise FileRefused(name, f"a row group of it has more than {MOST_CHUNK_VALUES} values in one column")


def _halved(batch: pa.RecordBatch, name: str) -> Iterator[pa.RecordBatch]:
    """The batch in parts that are small enough."""
    size = sum(map(_expanded, batch.columns))
    if size <= MOST_BATCH_BYTES:
        yield batch
        return
    if batch.num_rows == 1:
        raise FileRefused(name, f"a row has more than {MOST_BATCH_BYTES} bytes")
    half = batch.num_rows // 2
    yield from _halved(batch.slice(0, half), name)
    yield from _halved(batch.slice(half), name)


def _expanded(array: "pa.Array[Any]") -> int:
    """Bytes of an array whose every value stands for itself."""
    if isinstance(array, pa.DictionaryArray):
        texts: Any = array.dictionary
        lengths: Any = pc.binary_length(texts)
        return int(pc.sum(lengths.take(array.indices)).as_py() or 0)
    if isinstance(array, pa.ListArray | pa.LargeListArray):
        return _expanded(array.flatten())
    if isinstance(array, pa.StructArray):
        return sum(_expanded(member) for member in array.flatten())
    return int(array.nbytes)
