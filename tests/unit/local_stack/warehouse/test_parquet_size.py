"""Parquet files of a few hundred bytes that stand for gigabytes: refused, or handed on a bounded number of bytes at a time."""

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common.warehouse.columns import Column
from local_stack.warehouse.files import parquet_size
from local_stack.warehouse.files.parquet_rows import parquet_batches
from local_stack.warehouse.files.refused import FileRefused
from local_stack.warehouse.reading import schema_of

NAME = "bomb.parquet"
TEXT = 200_000


def written(array: "pa.Array[Any]", **options: Any) -> io.BytesIO:
    file = io.BytesIO()
    pq.write_table(pa.table({"a": array}), file, compression="zstd", store_schema=False, **options)
    file.seek(0)
    return file


def repeated(text: str | bytes, count: int) -> "pa.Array[Any]":
    return pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), pa.array([text]))


def sizes(file: io.BytesIO, column: Column) -> list[tuple[int, int]]:
    """Rows and bytes of each batch."""
    columns = (column,)
    return [(batch.num_rows, batch.nbytes) for batch in parquet_batches(file, NAME, columns, schema_of(columns))]


def test_rows_that_repeat_a_long_text_are_handed_on_a_bounded_number_of_bytes_at_a_time() -> None:
    file = written(repeated("x" * TEXT, 3000))
    assert len(file.getvalue()) < 1000
    batches = sizes(file, Column("a", "STRING"))
    assert sum(rows for rows, _ in batches) == 3000
    assert max(size for _, size in batches) < parquet_size.MOST_BATCH_BYTES + 100_000


def test_arrays_that_repeat_a_long_text_are_bounded_by_row() -> None:
    lists = pa.ListArray.from_arrays(pa.array([0, 30, 60], pa.int32()), repeated(b"x" * TEXT, 60))
    batches = sizes(written(lists), Column("a", "BYTES", "REPEATED"))
    assert sum(rows for rows, _ in batches) == 2
    long = pa.ListArray.from_arrays(pa.array([0, 400], pa.int32()), repeated(b"x" * TEXT, 400))
    with pytest.raises(FileRefused, match="a row has more than 67108864 bytes"):
        sizes(written(long), Column("a", "BYTES", "REPEATED"))


def test_a_value_that_is_longer_than_a_row_may_be_is_refused() -> None:
    with pytest.raises(FileRefused, match="a row has more than 67108864 bytes"):
        sizes(written(repeated("x" * (parquet_size.MOST_BATCH_BYTES + 1), 100)), Column("a", "STRING"))


def test_long_values_of_one_length_are_refused_before_they_are_read() -> None:
    with pytest.raises(FileRefused, match="all of one length"):
        sizes(written(pa.array([b"x" * TEXT] * 3, pa.binary(TEXT))), Column("a", "BYTES"))


@pytest.mark.parametrize(
    ("limit", "value", "array", "column"),
    [
        ("MOST_CHUNK_BYTES", 2**20, pa.array(["x" * TEXT] * 10), Column("a", "STRING")),
        ("MOST_CHUNK_VALUES", 1000, pa.array([[0] * 2000]), Column("a", "INT64", "REPEATED")),
    ],
    ids=["bytes", "values"],
)
def test_a_row_group_that_says_too_much_of_itself_is_refused_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch, limit: str, value: int, array: "pa.Array[Any]", column: Column
) -> None:
    file = written(array, use_dictionary=False)
    assert len(file.getvalue()) < 1000 < sum(size for _, size in sizes(file, column))
    monkeypatch.setattr(parquet_size, limit, value)
    with pytest.raises(FileRefused, match="in one column"):
        sizes(file, column)


def test_texts_records_and_arrays_keep_their_values() -> None:
    rows: list[dict[str, Any] | None] = [{"q": "zz", "n": ["a", "b"]}, None, {"q": None, "n": []}]
    columns = (Column("a", "RECORD", fields=(Column("q", "STRING"), Column("n", "STRING", "REPEATED"))),)
    [batch] = parquet_batches(written(pa.array(rows)), NAME, columns, schema_of(columns))
    assert batch.column(0).to_pylist()[0] == rows[0]
