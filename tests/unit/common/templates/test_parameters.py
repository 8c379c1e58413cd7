"""Types of parameters: what each takes, and the one text and value that it makes of it."""

from datetime import date, datetime
from decimal import Decimal

import pytest

from common.templates.parameters import COLUMN_TYPES, Malformed, ParameterType, parse
from common.warehouse.warehouse import Value

NESTED = "[" * 100 + "]" * 100


def read(kind: ParameterType, text: str) -> tuple[str, Value]:
    value = parse(kind, text, tenant_id="acme", sources={})
    return value.text, value.bound


@pytest.mark.parametrize(
    ("kind", "text", "canonical", "bound"),
    [
        ("date", "2024-02-29", "2024-02-29", date(2024, 2, 29)),
        ("datetime", "2025-11-15T06:07:08", "2025-11-15T06:07:08", datetime.fromisoformat("2025-11-15T06:07:08")),
        ("datetime", "2025-11-15 06:07:08.5", "2025-11-15T06:07:08.500000", datetime.fromisoformat("2025-11-15T06:07:08.500")),
        ("datetime", "2025-11-15T06:07", "2025-11-15T06:07:00", datetime.fromisoformat("2025-11-15T06:07:00")),
        ("datetime", "2025-11-15", "2025-11-15T00:00:00", datetime.fromisoformat("2025-11-15T00:00:00")),
        ("integer", "-007", "-7", -7),
        ("integer", "9223372036854775807", "9223372036854775807", 2**63 - 1),
        ("number", "-1.500", "-1.5", Decimal("-1.5")),
        ("number", "-0.0", "0", Decimal("0")),
        ("number", "100", "100", Decimal(100)),
        ("string", "it's {braces} \\", "it's {braces} \\", "it's {braces} \\"),
        ("boolean", "false", "false", False),
        ("json", ' {"b": [1, 2.50, -3], "a": null} ', '{"a":null,"b":[1,2.5,-3]}', '{"a":null,"b":[1,2.5,-3]}'),
        ("json", '"\\u00e9\\ud83d\\ude00"', '"é😀"', '"é😀"'),
        ("json", "18446744073709551615", "18446744073709551615", "18446744073709551615"),
        ("json", "1e3", "1000.0", "1000.0"),
        ("json", "0.1", "0.1", "0.1"),
        ("json", "null", "null", "null"),
        ("json", NESTED, NESTED, NESTED),
    ],
)  # fmt: skip
def test_a_value_has_one_canonical_text_and_its_type(
    kind: ParameterType, text: str, canonical: str, bound: Value
) -> None:
    assert read(kind, text) == (canonical, bound)
    assert type(read(kind, text)[1]) is type(bound)
    assert read(kind, canonical) == (canonical, bound)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *(("datetime", text) for text in (
            "", "2025-02-30T00:00:00", "2025-11-15T24:00:00", "2025-11-15T23:60:00", "2025-11-15T23:59:60", "2025-11-15T06",
            "2025-11-15T06:07:08Z", "2025-11-15T06:07:08+00:00", "2025-11-15T06:07:08.1234567", "2025-11-15T", "2025-11-15t06:07",
            "20251115T060708", "2025-W46-6T06:07", " 2025-11-15", "2025-11-15\n", "２０２５-11-15T00:00:00", "now", "06:07:08",
        )),
        *(("json", text) for text in (
            "", "{", "{'a': 1}", "{a: 1}", "[1,]", "NaN", "-Infinity", "1e400", "1e99999999999999999999", "18446744073709551616",
            "-9223372036854775809", "0.1234567890123456789", '{"a": 1, "a": 1}', '"\\ud800"', "01", '"\n"', "1 2", "[" + NESTED + "]",
            "[" * 5000, "9" * 5000, "x",
        )),
    ],
)  # fmt: skip
def test_a_text_that_the_type_does_not_take_is_refused(kind: ParameterType, text: str) -> None:
    with pytest.raises(Malformed, match="must be"):
        read(kind, text)


def test_json_that_would_change_is_told_from_what_is_none() -> None:
    with pytest.raises(Malformed, match="twice"):
        read("json", '{"a": {"b": 1, "b": 2}}')
    with pytest.raises(Malformed, match="without losing a digit"):
        read("json", "[0.12345678901234567890]")


def test_every_type_is_bound_as_a_type_of_the_warehouse() -> None:
    assert COLUMN_TYPES["datetime"] == "DATETIME"
    assert COLUMN_TYPES["json"] == "JSON"
    assert set(COLUMN_TYPES) == set(ParameterType.__args__)  # type: ignore[attr-defined]
