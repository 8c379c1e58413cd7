"""Single values of files in the types of columns: only what BigQuery's documentation promises to take, so that a file that loads here
loads there, to the same values. What it leaves open is refused.

https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-csv#data_types, .../loading-data-cloud-storage-json#data_types
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Context, Decimal
from typing import Any

from common.warehouse.columns import Column, ColumnType
from common.warehouse.warehouse import Value
from local_stack.warehouse.files.refused import Malformed

_INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
_SPECIAL = re.compile(r"[+-]?inf(?:inity)?|nan", re.IGNORECASE)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_TIME = r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,6})?)?"
_DATETIME = re.compile(_TIME, re.ASCII)
_TIMESTAMP = re.compile(_TIME + r"(?: ?(Z|UTC|[+-][0-9]{2}:[0-9]{2}))?", re.ASCII)
_NUMERIC_LIMIT, _SCALE, _EXACT = Decimal(10) ** 29, 9, Context(prec=2000)
_TRUTH = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0"), False),
}


def _text(text: str) -> str:
    if "\0" in text:
        raise Malformed("a text without the character 0")
    return text


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise Malformed("base64") from None


def _integer(text: str) -> int:
    if _INTEGER.fullmatch(text) and -(2**63) <= (number := int(text)) < 2**63:
        return number
    raise Malformed("an integer of 64 bits")


def _float(text: str) -> float:
    if _DECIMAL.fullmatch(text) or _SPECIAL.fullmatch(text):
        return float(text)
    raise Malformed("a number")


def _numeric(text: str) -> Decimal:
    if _DECIMAL.fullmatch(text):
        number = Decimal(text)
        if number.copy_abs() < _NUMERIC_LIMIT and int(number.normalize(_EXACT).as_tuple().exponent) >= -_SCALE:
            return number
    raise Malformed("a number of at most 29 digits before the point and 9 after it")


def _bool(text: str) -> bool:
    if (truth := _TRUTH.get(text.lower())) is None:
        raise Malformed("true or false")
    return truth


def _date(text: str) -> date:
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise Malformed("a day that exists, YYYY-MM-DD")


def _datetime(text: str) -> datetime:
    if match := _DATETIME.fullmatch(text):
        return _moment(match)
    raise Malformed("a day and a time without a zone, YYYY-MM-DD HH:MM:SS")


def _timestamp(text: str) -> datetime:
    if match := _TIMESTAMP.fullmatch(text):
        return _moment(match, "+00:00" if match[4] in (None, "Z", "UTC") else match[4])
    raise Malformed("a day and a time, YYYY-MM-DD HH:MM:SS, in UTC or with an offset")


def _moment(match: re.Match[str], zone: str = "") -> datetime:
    """The time that a match names; with a zone, in UTC."""
    fraction = match[3].ljust(7, "0") if match[3] else ""
    try:
        moment = datetime.fromisoformat(f"{match[1]}T{match[2] or '00:00:00'}{fraction}{zone}")
        return moment.astimezone(UTC) if zone else moment
    except (ValueError, OverflowError):
        raise Malformed("a day and a time that exist") from None


def _json(text: str) -> str:
    try:
        return json_text(json.loads(text, parse_constant=_no_number))
    except (ValueError, RecursionError):
        raise Malformed("JSON") from None


def json_text(value: Any) -> str:
    """A JSON value as the text that a JSON column holds, fractions as doubles. Raises Malformed for a number that none of them is."""
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=float)
    except (ValueError, RecursionError):
        raise Malformed("JSON whose numbers a double holds") from None


def _no_number(name: str) -> float:
    raise Malformed(name)


OF_TEXT: Mapping[ColumnType, Callable[[str], Value]] = {
    "STRING": _text,
    "BYTES": _bytes,
    "INT64": _integer,
    "FLOAT64": _float,
    "NUMERIC": _numeric,
    "BOOL": _bool,
    "DATE": _date,
    "DATETIME": _datetime,
    "TIMESTAMP": _timestamp,
    "JSON": _json,
}
"""What makes of a text a value of each type, or raises Malformed."""


def of_json(column: Column, value: Any) -> Any:
    """The value of a column that a JSON value is, whose fractions are Decimals. Raises Malformed."""
    if column.mode == "REPEATED":
        if not isinstance(value, list):
            raise Malformed("an array")
        return [_element(column, item) for item in value]
    if value is None:
        return None
    return _element(column, value)


def _element(column: Column, value: Any) -> Any:
    match column.type:
        case "RECORD":
            return record_of(column.fields, value)
        case "JSON":
            return json_text(value)
        case "BOOL" if isinstance(value, bool):
            return value
        case "INT64" | "FLOAT64" | "NUMERIC" if isinstance(value, int | Decimal) and not isinstance(value, bool):
            return OF_TEXT[column.type](str(value))
        case _ if isinstance(value, str):
            return OF_TEXT[column.type](value)
    raise Malformed(f"a value of {column.type}")


def record_of(columns: tuple[Column, ...], value: Any) -> dict[str, Any]:
    """The row or RECORD that a JSON object is, its members found by name in whatever case. Raises Malformed, naming the column."""
    if not isinstance(value, dict):
        raise Malformed("an object")
    known = {column.name.lower(): column for column in columns}
    given = {name.lower(): member for name, member in value.items()}
    if len(given) != len(value):
        raise Malformed("an object without a member that comes twice")
    if given.keys() - known.keys():
        raise Malformed("an object of no other members than the columns")
    record: dict[str, Any] = {}
    for name, column in known.items():
        if name not in given:
            record[column.name] = [] if column.mode == "REPEATED" else None
            continue
        try:
            record[column.name] = of_json(column, given[name])
        except Malformed as malformed:
            raise Malformed(f"{malformed} in {column.name}") from None
    return record
