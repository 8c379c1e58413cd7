"""Rows of the local warehouse as Python values: NUMERIC is Decimal, TIMESTAMP an aware datetime in UTC, JSON text, RECORD dict."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
from pyarrow import flight

from common.errors import Terminal
from common.warehouse.columns import Column
from common.warehouse.local_flight import translated
from common.warehouse.local_wire import HEAD_KEY, StreamHead, decode
from common.warehouse.warehouse import Row

InThread = Callable[..., Awaitable[Any]]


class LocalRows:
    """A `RowStream`: one Arrow batch at a time is held, and of it one page as Python values."""

    def __init__(self, stream: flight.FlightStreamReader, head: StreamHead, run: InThread, *, page_size: int) -> None:
        self.columns = head.columns
        self.bytes_processed = head.bytes_processed
        self.bytes_billed = head.bytes_billed
        self._stream: flight.FlightStreamReader | None = stream
        self._run = run
        self._page_size = page_size

    @classmethod
    def opened(cls, stream: flight.FlightStreamReader, run: InThread, *, page_size: int) -> "LocalRows":
        """Read the stream's head, in this thread."""
        return cls(stream, read_head(stream), run, page_size=page_size)

    async def __aiter__(self) -> AsyncIterator[Sequence[Row]]:
        """Yield pages of at least one row each."""
        while self._stream is not None:
            batch = await self._run(_next_batch, self._stream)
            if batch is None:
                self._stream = None
                return
            for start in range(0, batch.num_rows, self._page_size):
                yield await self._run(rows_of, batch.slice(start, self._page_size), self.columns)

    async def close(self) -> None:
        """Stop reading, which also stops the query. May be called twice."""
        stream, self._stream = self._stream, None
        if stream is not None:
            await self._run(stream.cancel)


def read_head(stream: flight.FlightStreamReader) -> StreamHead:
    """What the server said of the stream before its first row."""
    with translated():
        metadata = stream.schema.metadata or {}
    if HEAD_KEY not in metadata:
        raise Terminal("The warehouse answered in a way that was not understood")
    return decode(StreamHead, metadata[HEAD_KEY])


def all_rows(stream: flight.FlightStreamReader) -> list[Row]:
    """Every row of a stream, in this thread."""
    columns = read_head(stream).columns
    return [row for batch in _batches(stream) for row in rows_of(batch, columns)]


def rows_of(batch: pa.RecordBatch, columns: Sequence[Column]) -> list[Row]:
    """The rows of a batch."""
    rows: list[dict[str, Any]] = batch.to_pylist()
    repeated = [column for column in columns if _has_repeated(column)]
    for row in rows:
        for column in repeated:
            row[column.name] = _filled(row[column.name], column)
    return list(rows)


def _has_repeated(column: Column) -> bool:
    return column.mode == "REPEATED" or any(_has_repeated(field) for field in column.fields)


def _filled(value: Any, column: Column) -> Any:
    """An array is never NULL in BigQuery: one that was not given is empty."""
    if column.mode == "REPEATED":
        return [_filled_record(element, column) for element in value or ()]
    return _filled_record(value, column)


def _filled_record(value: Any, column: Column) -> Any:
    if column.type == "RECORD" and value is not None:
        for field in column.fields:
            value[field.name] = _filled(value[field.name], field)
    return value


def _batches(stream: flight.FlightStreamReader) -> Iterator[pa.RecordBatch]:
    while (batch := _next_batch(stream)) is not None:
        yield batch


def _next_batch(stream: flight.FlightStreamReader) -> pa.RecordBatch | None:
    with translated():
        try:
            return stream.read_chunk().data
        except StopIteration:
            return None
