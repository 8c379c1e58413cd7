"""The rows of files as Arrow batches, in the types of their columns, and where in which file a row is malformed."""

import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any, TextIO

import pyarrow as pa

from common.warehouse.columns import Column
from common.warehouse.warehouse import LoadJob
from local_stack.warehouse.files.csv_rows import LONGEST_ROW, Fields, csv_rows
from local_stack.warehouse.files.folders import Folders, SourceFile
from local_stack.warehouse.files.parquet_rows import parquet_batches, parquet_columns
from local_stack.warehouse.files.refused import FileRefused, Malformed
from local_stack.warehouse.files.values import OF_TEXT, record_of
from local_stack.warehouse.reading import schema_of

BATCH_ROWS = 2048
_MARK = "\ufeff"


class FileRows:
    """The rows of a load job's files. `columns` are known from the start: they are the job's, or those of the first Parquet file.

    Raises Terminal, as LoadJob says; so does reading `batches`, whose own exception is kept as `failure` where a reader translates it.
    """

    def __init__(self, job: LoadJob, folders: Folders) -> None:
        self._job = job
        self._files = folders.find(job.uri)
        self.columns = job.columns or parquet_columns(self._files[0])
        self.schema = schema_of(self.columns)
        self.failure: Exception | None = None

    def reader(self) -> pa.RecordBatchReader:
        """All rows of all files, once."""
        return pa.RecordBatchReader.from_batches(self.schema, self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        try:
            for file in self._files:
                yield from self._of_file(file)
        except Exception as error:
            self.failure = error
            raise

    def _of_file(self, file: SourceFile) -> Iterator[pa.RecordBatch]:
        with file.open() as opened:
            if self._job.format == "parquet":
                yield from parquet_batches(opened, file.name, self.columns, self.schema)
                return
            try:
                with io.TextIOWrapper(opened, encoding="utf-8", newline="") as text:
                    rows = self._rows(text, file.name)
                    while batch := list(islice(rows, BATCH_ROWS)):
                        yield pa.RecordBatch.from_pylist(batch, schema=self.schema)
            except UnicodeDecodeError:
                raise FileRefused(file.name, "it is not UTF-8") from None
            except (UnicodeEncodeError, pa.ArrowException):  # half of a surrogate pair, which only JSON can write
                raise FileRefused(file.name, "a text is no Unicode") from None

    def _rows(self, text: TextIO, name: str) -> Iterator[dict[str, Any]]:
        if text.read(1) == _MARK:
            raise FileRefused(name, "it starts with a byte order mark", line=1)
        text.seek(0)
        if self._job.format == "ndjson":
            return _ndjson_rows(text, name, self.columns)
        options = self._job.csv
        lines = csv_rows(
            text,
            name,
            delimiter=options.delimiter,
            skip=options.skip_leading_rows,
            null_marker=options.null_marker,
        )
        return _typed(lines, name, self.columns)


def _typed(lines: Iterable[tuple[int, Fields]], name: str, columns: Sequence[Column]) -> Iterator[dict[str, Any]]:
    """CSV rows in the types of the columns."""
    readers: list[tuple[str, Callable[[str], Any]]] = [(column.name, OF_TEXT[column.type]) for column in columns]
    for line, fields in lines:
        if len(fields) != len(readers):
            raise FileRefused(name, f"the row has {len(fields)} fields, not {len(readers)}", line=line)
        row = {}
        for (column, read), text in zip(readers, fields, strict=True):
            try:
                row[column] = None if text is None else read(text)
            except Malformed as malformed:
                raise FileRefused(name, f"{column} takes {malformed}", line=line) from None
        yield row


def _ndjson_rows(text: TextIO, name: str, columns: tuple[Column, ...]) -> Iterator[dict[str, Any]]:
    line = 0
    while written := text.readline(LONGEST_ROW + 1):
        line += 1
        if len(written) > LONGEST_ROW:
            raise FileRefused(name, f"a row has more than {LONGEST_ROW} characters", line=line)
        try:
            yield record_of(columns, _parsed(written))
        except Malformed as malformed:
            raise FileRefused(name, f"the row takes {malformed}", line=line) from None


def _parsed(written: str) -> Any:
    try:
        return json.loads(written, parse_float=Decimal, parse_constant=_refused, object_pairs_hook=_unique)
    except (ValueError, ArithmeticError, RecursionError) as error:
        if isinstance(error, Malformed):
            raise
        raise Malformed("one JSON object") from None


def _refused(name: str) -> Any:  # noqa: ARG001 - NaN and the infinities are no JSON
    raise Malformed("one JSON object")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(members := dict(pairs)) != len(pairs):
        raise Malformed("an object without a member that comes twice")
    return members
