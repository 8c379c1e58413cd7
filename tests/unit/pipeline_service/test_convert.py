"""Rows on the wire: no digit lost, no message too large."""

from datetime import UTC, date, datetime
from decimal import Decimal

from google.protobuf.json_format import MessageToDict

from common.warehouse.columns import Column
from common.warehouse.warehouse import Row
from pipeline_service.convert import MAX_MESSAGE_BYTES, rows_to_proto
from pipeline_service.read_table import TablePage

COLUMNS = (Column("a", "STRING"), Column("b", "NUMERIC"))


def test_columns_come_in_a_message_of_their_own() -> None:
    [message] = rows_to_proto(TablePage(COLUMNS, ()))
    assert [(column.name, column.type) for column in message.columns] == [("a", "STRING"), ("b", "NUMERIC")]
    [message] = rows_to_proto(TablePage(COLUMNS, [{"a": "x", "b": None}]))
    assert not message.columns


def test_values_keep_every_digit() -> None:
    row: Row = {
        "bool": True,
        "float": 0.5,
        "nan": float("nan"),
        "int": 2**63 - 1,
        "numeric": Decimal("12345678901234567890123456789.100000000"),
        "zero": Decimal("0E-9"),
        "date": date(2025, 11, 15),
        "timestamp": datetime(2025, 11, 15, 1, 2, 3, 4, tzinfo=UTC),
        "bytes": b"\x00\xff",
        "json": '{"a": 1}',
        "null": None,
        "list": [1, None],
        "record": {"x": Decimal("1.50")},
    }
    [message] = rows_to_proto(TablePage(COLUMNS, [row]))
    assert MessageToDict(message.rows[0]) == {
        "bool": True,
        "float": 0.5,
        "nan": "nan",
        "int": "9223372036854775807",
        "numeric": "12345678901234567890123456789.1",
        "zero": "0",
        "date": "2025-11-15",
        "timestamp": "2025-11-15T01:02:03.000004Z",
        "bytes": "AP8=",
        "json": '{"a": 1}',
        "null": None,
        "list": ["1", None],
        "record": {"x": "1.5"},
    }


def test_a_page_of_wide_rows_is_split_and_stays_whole() -> None:
    rows = [{"a": str(number) + "x" * (MAX_MESSAGE_BYTES // 3)} for number in range(10)]
    messages = list(rows_to_proto(TablePage(COLUMNS, rows)))
    assert all(message.ByteSize() < 1.1 * MAX_MESSAGE_BYTES for message in messages)
    assert [row["a"] for message in messages for row in message.rows] == [row["a"] for row in rows]
