"""Values keep their type and every digit, as parameters, in tables and in results; and GoogleSQL means what it means."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from common.warehouse.columns import Column, ColumnType
from common.warehouse.warehouse import Parameter, TableRef, TableSpec, Value, Warehouse
from tests.contract.work import execute, select, select_columns

VALUES: list[tuple[ColumnType, Value]] = [
    ("STRING", "naïve ünïcode 'quoted' \"twice\" \\ back\nnew line 日本"),
    ("STRING", ""),
    ("BYTES", b"\x00\xff\x10 bytes"),
    ("INT64", 2**63 - 1),
    ("INT64", -(2**63)),
    ("FLOAT64", 0.1),
    ("FLOAT64", -1.7976931348623157e308),
    ("FLOAT64", float("inf")),
    ("NUMERIC", Decimal("1.123456789")),
    ("NUMERIC", Decimal("-99999999999999999999999999999.999999999")),
    ("NUMERIC", Decimal("0.000000001")),
    ("BOOL", True),
    ("BOOL", False),
    ("DATE", date(2024, 2, 29)),
    ("DATETIME", datetime.fromisoformat("2025-11-15T23:59:59.123456")),
    ("DATETIME", datetime.fromisoformat("2025-11-15T00:00:00")),
    ("TIMESTAMP", datetime(2025, 11, 15, 23, 59, 59, 123456, tzinfo=UTC)),
    ("TIMESTAMP", datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
    ("JSON", '{"a":[1,2.5,null],"b":"x"}'),
]


@pytest.mark.parametrize(("kind", "value"), VALUES)
async def test_a_value_comes_back_as_it_was_bound(warehouse: Warehouse, kind: ColumnType, value: Value) -> None:
    assert await select(warehouse, "SELECT @value AS value", Parameter("value", kind, value)) == [{"value": value}]


@pytest.mark.parametrize("kind", sorted({kind for kind, _ in VALUES}))
async def test_null_keeps_its_type(warehouse: Warehouse, kind: ColumnType) -> None:
    null = Parameter("value", kind, None)
    assert await select(warehouse, "SELECT @value AS value", null) == [{"value": None}]
    assert await select_columns(warehouse, "SELECT @value AS value", null) == (Column("value", kind),)


@pytest.mark.parametrize("kind", sorted({kind for kind, _ in VALUES} - {"JSON"}))
async def test_an_array_comes_back_as_it_was_bound(warehouse: Warehouse, kind: ColumnType) -> None:
    values = [value for other, value in VALUES if other == kind]
    array = Parameter("values", kind, values, array=True)
    assert await select(warehouse, "SELECT @values AS `values`", array) == [{"values": values}]
    assert await select_columns(warehouse, "SELECT @values AS `values`", array) == (Column("values", kind, "REPEATED"),)


@pytest.mark.parametrize("kind", sorted({kind for kind, _ in VALUES} - {"JSON"}))
async def test_an_empty_array_has_no_elements(warehouse: Warehouse, kind: ColumnType) -> None:
    empty = Parameter("values", kind, [], array=True)
    assert await select(warehouse, "SELECT value FROM UNNEST(@values) AS value", empty) == []


async def test_a_timestamp_with_an_offset_is_the_same_instant_in_utc(warehouse: Warehouse) -> None:
    east = datetime(2025, 11, 16, 1, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    rows = await select(warehouse, "SELECT @at AS `at`, DATE(@at) AS day", Parameter("at", "TIMESTAMP", east))
    assert rows == [{"at": datetime(2025, 11, 15, 20, tzinfo=UTC), "day": date(2025, 11, 15)}]
    assert isinstance(rows[0]["at"], datetime)
    assert rows[0]["at"].utcoffset() == timedelta(0)


async def test_every_type_is_stored_in_a_table_and_listed_again(warehouse: Warehouse, dataset: str) -> None:
    chosen = list(dict(VALUES).items())
    ref = TableRef(dataset, "every_type")
    columns = tuple(Column(f"c_{kind.lower()}", kind) for kind, _ in chosen)
    await warehouse.create_table(ref, TableSpec(columns))
    names = ", ".join(column.name for column in columns)
    for values in ([value for _, value in chosen], [None] * len(chosen)):
        parameters = [Parameter(c.name, c.type, value) for c, value in zip(columns, values, strict=True)]
        await execute(
            warehouse,
            f"INSERT INTO `{ref}` ({names}) VALUES ({', '.join('@' + c.name for c in columns)})",
            *parameters,
        )
    expected = [{f"c_{kind.lower()}": value for kind, value in chosen}, dict.fromkeys(c.name for c in columns)]
    listed = await warehouse.list_rows(ref)
    assert sorted(map(dict, listed), key=lambda row: row["c_int64"] is None) == expected


async def test_parameters_choose_rows_and_are_never_sql(warehouse: Warehouse) -> None:
    hostile = "x' OR '1'='1"
    rows = await select(
        warehouse,
        "SELECT name FROM UNNEST(['a', 'b', @name]) AS name WHERE name IN UNNEST(@names) ORDER BY name",
        Parameter("name", "STRING", hostile),
        Parameter("names", "STRING", ["b", hostile, "unknown"], array=True),
    )
    assert [row["name"] for row in rows] == ["b", hostile]


async def test_numeric_is_exact_to_nine_digits_in_sums(warehouse: Warehouse) -> None:
    rows = await select(
        warehouse,
        "SELECT SUM(CAST(amount AS NUMERIC)) AS total FROM UNNEST(@amounts) AS amount",
        Parameter("amounts", "STRING", ["0.1", "0.2", "123456789012345678.000000001"], array=True),
    )
    assert rows == [{"total": Decimal("123456789012345678.300000001")}]


async def test_float_becomes_numeric_row_by_row(warehouse: Warehouse) -> None:
    rows = await select(
        warehouse,
        "SELECT SUM(CAST(cost AS NUMERIC)) AS total FROM UNNEST(@costs) AS cost",
        Parameter("costs", "FLOAT64", [0.1, 0.2, 1.123456789, -0.000000001], array=True),
    )
    assert rows == [{"total": Decimal("1.423456788")}]


async def test_sums_over_nested_rows_stay_with_their_row(warehouse: Warehouse) -> None:
    sql = """
        WITH usage AS (
          SELECT 1 AS id, [STRUCT('promo' AS name, -1.5 AS amount), STRUCT('cud' AS name, -0.25 AS amount)] AS credits
          UNION ALL
          SELECT 2, []
        )
        SELECT id, (SELECT SUM(CAST(c.amount AS NUMERIC)) FROM UNNEST(credits) AS c) AS credit FROM usage ORDER BY id"""
    assert await select(warehouse, sql) == [{"id": 1, "credit": Decimal("-1.75")}, {"id": 2, "credit": None}]


async def test_a_dates_day_is_the_day_in_utc(warehouse: Warehouse) -> None:
    sql = (
        "SELECT DATE(TIMESTAMP '2025-11-15 23:30:00-08:00') AS day, DATE_ADD(DATE '2025-11-30', INTERVAL 1 DAY) AS next"
    )
    assert await select(warehouse, sql) == [{"day": date(2025, 11, 16), "next": date(2025, 12, 1)}]


async def test_text_becomes_json_text(warehouse: Warehouse) -> None:
    sql = "SELECT TO_JSON_STRING('a \"b\"') AS quoted, TO_JSON_STRING(STRUCT('k' AS key, 1 AS value)) AS record"
    assert await select(warehouse, sql) == [{"quoted": '"a \\"b\\""', "record": '{"key":"k","value":1}'}]


async def test_nested_records_are_mappings_and_lists(warehouse: Warehouse) -> None:
    sql = """
        SELECT STRUCT('p-1' AS id, [STRUCT('env' AS key, 'prod' AS value)] AS labels) AS project,
               [STRUCT(CAST('0.5' AS NUMERIC) AS amount, DATE '2025-11-15' AS day)] AS credits"""
    assert await select(warehouse, sql) == [
        {
            "project": {"id": "p-1", "labels": [{"key": "env", "value": "prod"}]},
            "credits": [{"amount": Decimal("0.5"), "day": date(2025, 11, 15)}],
        }
    ]
    project, credits_ = await select_columns(warehouse, sql)
    assert project == Column(
        "project",
        "RECORD",
        fields=(
            Column("id", "STRING"),
            Column("labels", "RECORD", "REPEATED", (Column("key", "STRING"), Column("value", "STRING"))),
        ),
    )
    assert credits_ == Column("credits", "RECORD", "REPEATED", (Column("amount", "NUMERIC"), Column("day", "DATE")))
