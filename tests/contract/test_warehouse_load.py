"""Load jobs on both adapters: files in, rows of the declared types out, all of them or none."""

import io
import os
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common.warehouse.columns import Column
from common.warehouse.file_formats import CsvOptions
from common.warehouse.warehouse import Destination, LoadJob, Row, TableRef, Warehouse
from tests.contract.loads import COST, GOOD, loaded, loading, refused
from tests.contract.work import new_id
from tests.warehouses import Place

EVERY_TYPE = (
    Column("s", "STRING"),
    Column("b", "BYTES"),
    Column("i", "INT64"),
    Column("f", "FLOAT64"),
    Column("n", "NUMERIC"),
    Column("t", "BOOL"),
    Column("d", "DATE"),
    Column("dt", "DATETIME"),
    Column("ts", "TIMESTAMP"),
    Column("j", "JSON"),
)
EVERY_VALUE: Row = {
    "s": 'é, "quoted"\nand on',
    "b": b"\x00\xff",
    "i": -(2**63),
    "f": 0.1,
    "n": Decimal("12345678901234567890123456789.123456789"),
    "t": True,
    "d": date(2025, 11, 15),
    "dt": datetime(2025, 11, 15, 6, 30, 0, 250000, tzinfo=UTC).replace(tzinfo=None),
    "ts": datetime(2025, 11, 15, 4, 30, 0, 1, tzinfo=UTC),
    "j": '{"a":[1,0.5,null]}',
}


async def test_csv_rows_come_in_the_declared_types(warehouse: Warehouse, dataset: str, place: Place) -> None:
    text = (
        '"é, ""quoted""\nand on",AP8=,-9223372036854775808,0.1,12345678901234567890123456789.123456789,YES,2025-11-15,'
        '2025-11-15 06:30:00.25,2025-11-15T06:30:00.000001+02:00,"{""a"": [1, 0.5, null]}"\r\n'
        ",,,,,,,,,\r\n"
    )
    rows = await loaded(warehouse, loading(dataset, place.write("a.csv", text), EVERY_TYPE, csv=CsvOptions()))
    assert rows == [EVERY_VALUE, dict.fromkeys(EVERY_VALUE)]
    spec = (await warehouse.get_table(TableRef(dataset, "loaded"))).spec
    assert spec.columns == EVERY_TYPE


async def test_ndjson_rows_come_in_the_declared_types(warehouse: Warehouse, dataset: str, place: Place) -> None:
    text = (
        '{"s": "é, \\"quoted\\"\\nand on", "b": "AP8=", "i": "-9223372036854775808", "f": 0.1, '
        '"n": 12345678901234567890123456789.123456789, "t": true, "d": "2025-11-15", "dt": "2025-11-15T06:30:00.25", '
        '"ts": "2025-11-15 04:30:00.000001 UTC", "j": {"a": [1, 0.5, null]}}\n'
        '{"S": null}\n'
    )
    rows = await loaded(warehouse, loading(dataset, place.write("a.ndjson", text), EVERY_TYPE, "ndjson"))
    assert rows == [EVERY_VALUE, dict.fromkeys(EVERY_VALUE)]


async def test_arrays_and_records_of_ndjson_stay_nested(warehouse: Warehouse, dataset: str, place: Place) -> None:
    credit = Column("credits", "RECORD", "REPEATED", (Column("name", "STRING"), Column("amount", "NUMERIC")))
    columns = (
        Column("service", "RECORD", fields=(Column("id", "STRING"),)),
        Column("tags", "STRING", "REPEATED"),
        credit,
    )
    text = '{"service": {"id": "a"}, "tags": ["x", "y"], "credits": [{"name": "c", "amount": -1.000000001}]}\n{}\n'
    rows = await loaded(warehouse, loading(dataset, place.write("a.ndjson", text), columns, "ndjson"))
    assert rows == [
        {"service": {"id": "a"}, "tags": ["x", "y"], "credits": [{"name": "c", "amount": Decimal("-1.000000001")}]},
        {"service": None, "tags": [], "credits": []},
    ]


def parquet(rows: list[dict[str, Any]], **types: pa.DataType) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(list(types.items()))), buffer)
    return buffer.getvalue()


async def test_parquet_rows_have_the_types_of_the_file(warehouse: Warehouse, dataset: str, place: Place) -> None:
    moment = datetime(2025, 11, 15, 4, 30, tzinfo=UTC)
    row = {
        "d": date(2025, 11, 15),
        "i": 7,
        "n": Decimal("1.50"),
        "ts": moment,
        "dt": moment.replace(tzinfo=None),
        "l": ["a"],
        "f": 0.5,
    }
    types: dict[str, pa.DataType] = {
        **{"d": pa.date32(), "i": pa.int32(), "n": pa.decimal128(10, 2), "ts": pa.timestamp("ms", "Europe/Berlin")},
        **{"dt": pa.timestamp("us"), "l": pa.list_(pa.string()), "f": pa.float32()},
    }
    uri = place.write("a.parquet", parquet([row, {"i": 8}], **types))
    rows = await loaded(warehouse, loading(dataset, uri, (), "parquet"))
    assert rows == [row, {**dict.fromkeys(row), "i": 8, "l": []}]
    declared = (
        *(Column("i", "INT64"), Column("d", "DATE"), Column("n", "NUMERIC"), Column("ts", "TIMESTAMP")),
        *(Column("dt", "DATETIME"), Column("l", "STRING", "REPEATED"), Column("f", "FLOAT64")),
    )
    assert rows == await loaded(warehouse, loading(dataset, uri, declared, "parquet"))
    assert (await warehouse.get_table(TableRef(dataset, "loaded"))).spec.columns == declared


@pytest.mark.parametrize(
    ("columns", "content"),
    [
        (COST, parquet([{"day": date(2025, 11, 15)}], day=pa.date32())),
        ((Column("day", "DATE"),), parquet([{"day": "2025-11-15"}], day=pa.string())),
        ((), parquet([{"n": Decimal("0.0000000001")}], n=pa.decimal128(20, 10))),
        ((), parquet([{"n": [["a"]]}], n=pa.list_(pa.list_(pa.string())))),
        ((), parquet([{"t": 1}], t=pa.time64("us"))),
        ((), b""),
        ((), b"PAR1 and no more"),
        ((), parquet([{"s": "x" * 10_000}], s=pa.string())[:-20]),
    ],
    ids=[
        "lacks-columns",
        "other-type",
        "too-many-digits",
        "array-of-arrays",
        "time-of-day",
        "empty",
        "no-parquet",
        "cut-off",
    ],
)
async def test_a_parquet_file_that_is_not_as_the_columns_say_loads_nothing(
    warehouse: Warehouse, dataset: str, place: Place, columns: tuple[Column, ...], content: bytes
) -> None:
    error = await refused(warehouse, loading(dataset, place.write("a.parquet", content), columns, "parquet"))
    assert error.reason == "LOAD_FAILED"


BAD_CSV = {
    "no-number": "2025-11-15,compute,secret",
    "too-many-digits": "2025-11-15,compute,0.1234567891",
    "no-such-day": "2025-02-30,compute,1",
    "day-otherwise": "15.11.2025,compute,1",
    "too-few-fields": "2025-11-15,compute",
    "too-many-fields": "2025-11-15,compute,1,2",
    "quote-inside": '2025-11-15,a"b,1',
    "after-quote": '2025-11-15,"a"b,1',
    "quote-left-open": '2025-11-15,"compute,1',
    "empty-line": "",
    "zero-character": "2025-11-15,a\0b,1",
    "spaces-around": "2025-11-15,compute, 1",
}


@pytest.mark.parametrize("row", BAD_CSV.values(), ids=BAD_CSV.keys())
async def test_one_bad_row_of_one_file_loads_nothing_and_is_not_quoted(
    warehouse: Warehouse, dataset: str, place: Place, row: str
) -> None:
    place.write("good.csv", GOOD)
    place.write("new.csv", GOOD + row + "\n")
    error = await refused(warehouse, loading(dataset, f"{place.uri}/*.csv"))
    assert error.reason == "LOAD_FAILED"
    assert "secret" not in error.message
    assert "hunter2" not in error.message, "what BigQuery quotes"
    assert "line 3" in error.message or "byte 12" in error.message


BAD_NDJSON = {
    "no-json": "{",
    "no-object": "[1]",
    "empty-line": "",
    "unknown-member": '{"day": "2025-11-15", "secret": 1}',
    "twice": '{"service": "a", "service": "b"}',
    "number-for-text": '{"service": 1}',
    "text-for-number": '{"cost": "secret"}',
    "nan": '{"cost": NaN}',
    "truth-for-number": '{"cost": true}',
    "object-for-text": '{"service": {"secret": 1}}',
    "array-for-text": '{"service": ["secret"]}',
    "half-a-pair": '{"service": "\\ud800"}',
    "huge-exponent": '{"cost": 1e999999999}',
}


@pytest.mark.parametrize("row", BAD_NDJSON.values(), ids=BAD_NDJSON.keys())
async def test_one_bad_object_loads_nothing(warehouse: Warehouse, dataset: str, place: Place, row: str) -> None:
    uri = place.write("a.ndjson", '{"service": "a"}\n' + row + "\n")
    error = await refused(warehouse, loading(dataset, uri, kind="ndjson"))
    assert error.reason == "LOAD_FAILED"
    assert "secret" not in error.message


@pytest.mark.parametrize(
    "content", [b"\xff\xfe2\x000\x00", b"day,service,cost\n2025-11-15,caf\xe9,1\n", b"\xef\xbb\xbfday\n"]
)
async def test_a_file_in_another_encoding_loads_nothing(
    warehouse: Warehouse, dataset: str, place: Place, content: bytes
) -> None:
    error = await refused(warehouse, loading(dataset, place.write("a.csv", content)))
    assert error.reason == "LOAD_FAILED"


async def test_an_empty_field_is_null_and_a_quoted_one_an_empty_text(
    warehouse: Warehouse, dataset: str, place: Place
) -> None:
    columns = (Column("a", "STRING"), Column("b", "STRING"), Column("c", "INT64"))
    uri = place.write("a.csv", ',"",\n')
    assert await loaded(warehouse, loading(dataset, uri, columns, csv=CsvOptions())) == [
        {"a": None, "b": "", "c": None}
    ]


async def test_with_a_marker_for_null_an_empty_field_is_an_empty_text_and_no_number(
    warehouse: Warehouse, dataset: str, place: Place
) -> None:
    columns = (Column("a", "STRING"), Column("b", "STRING"), Column("c", "INT64"))
    options = CsvOptions(delimiter="\t", null_marker="\\N")
    uri = place.write("a.csv", "\t\\N\t\\N\n")
    assert await loaded(warehouse, loading(dataset, uri, columns, csv=options)) == [{"a": "", "b": None, "c": None}]
    again = TableRef(dataset, "again")
    job = LoadJob(new_id(), place.write("b.csv", "a\tb\t\n"), "csv", columns, Destination(again), options)
    assert (await refused(warehouse, job)).reason == "LOAD_FAILED"


@pytest.mark.parametrize("content", ["", "day,service,cost\n", "day,service,cost"])
async def test_a_file_without_rows_makes_a_table_without_rows(
    warehouse: Warehouse, dataset: str, place: Place, content: str
) -> None:
    assert await loaded(warehouse, loading(dataset, place.write("a.csv", content))) == []


async def test_a_star_means_any_files_below_and_no_others(warehouse: Warehouse, dataset: str, place: Place) -> None:
    for path, service in (("in/cost-1.csv", "a"), ("in/cost-2.csv", "b"), ("in/cost-x/3.csv", "c")):
        place.write(path, f"2025-11-15,{service},1\n")
    for path in ("in/cost-1.txt", "in/other.csv", "cost-4.csv", "in2/cost-5.csv"):
        place.write(path, "no row\n")
    rows = await loaded(warehouse, loading(dataset, f"{place.uri}/in/cost-*.csv", csv=CsvOptions()))
    assert sorted(str(row["service"]) for row in rows) == ["a", "b", "c"]


@pytest.mark.parametrize("path", ["missing.csv", "missing/*.csv", "*.parquet", "folder", "pipe"])
async def test_without_a_file_the_job_says_so(warehouse: Warehouse, dataset: str, place: Place, path: str) -> None:
    place.write("folder/there.csv", GOOD)
    os.mkfifo(place.folder / "pipe")
    error = await refused(warehouse, loading(dataset, f"{place.uri}/{path}"))
    assert error.reason == "SOURCE_FILES_MISSING"
