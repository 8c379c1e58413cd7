"""Types of parameters: what values each takes, in which canonical text a run keeps them, and how they are bound in SQL.

What a template asks of a parameter's values beyond its type is `parameter_spec.py`'s.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from common.day import parse_day
from common.decimal_text import decimal_text
from common.templates.tables import may_read
from common.warehouse.columns import ColumnType
from common.warehouse.warehouse import TableRef, Value

ParameterType = Literal[
    "date", "datetime", "integer", "number", "string", "enum", "boolean", "table", "identifier", "json"
]

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]{1,29}(\.[0-9]{1,9})?", re.ASCII)
_DATETIME = re.compile(r"([0-9-]{10})(?:[T ]((?:[01][0-9]|2[0-3]):[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?))?", re.ASCII)
_JSON_DEPTH = 100
"""Of arrays and objects inside each other; BigQuery takes 500, Python's own stack about 1,000."""

COLUMN_TYPES: Mapping[ParameterType, ColumnType] = {
    "date": "DATE",
    "datetime": "DATETIME",
    "integer": "INT64",
    "number": "NUMERIC",
    "string": "STRING",
    "enum": "STRING",
    "boolean": "BOOL",
    "table": "STRING",
    "identifier": "STRING",
    "json": "JSON",
}

SAMPLES: Mapping[ParameterType, str] = {
    "date": "2025-11-15",
    "datetime": "2025-11-15T12:00:00",
    "integer": "1",
    "number": "1",
    "string": "sample",
    "boolean": "true",
    "table": "sample_table",
    "identifier": "sample_identifier",
    "json": "{}",
}
"""A value of each type but enum, with which a template is resolved when it loads."""


class Malformed(ValueError):
    """A value that its type does not take; the text says what it takes."""


class OutOfReach(Malformed):
    """A table that the tenant may not read, or a text that names none: deliberately one answer for both."""


@dataclass(frozen=True, slots=True)
class ParameterValue:
    """A value in canonical text, and as it is bound."""

    text: str
    bound: Value


def parse(kind: ParameterType, text: str, *, tenant_id: str, sources: Mapping[str, TableRef]) -> ParameterValue:
    """Read a value. Raises Malformed, and OutOfReach for a table."""
    match kind:
        case "table":
            table = str(_table(text, tenant_id=tenant_id, sources=sources))
            return ParameterValue(table, table)
        case "identifier":
            if not IDENTIFIER.fullmatch(text):
                raise Malformed("must be at most 128 characters of A-Z, a-z, 0-9 and _, not starting with a digit")
            return ParameterValue(text, text)
        case _:
            return parse_scalar(kind, text)


def parse_scalar(kind: ParameterType, text: str) -> ParameterValue:
    """Read a value of a type that knows nothing of tables. Raises Malformed."""
    match kind:
        case "date":
            day = _day(text)
            return ParameterValue(day.isoformat(), day)
        case "datetime":
            moment = _datetime(text)
            return ParameterValue(moment.isoformat(), moment)
        case "integer":
            if not _INTEGER.fullmatch(text) or not -(2**63) <= int(text) < 2**63:
                raise Malformed("must be an integer of 64 bits")
            return ParameterValue(str(int(text)), int(text))
        case "number":
            if not _NUMBER.fullmatch(text):
                raise Malformed("must be a decimal number of at most 29 digits before the point and 9 after it")
            number = Decimal(text)
            return ParameterValue(_plain(number), number)
        case "boolean":
            if text not in ("true", "false"):
                raise Malformed("must be true or false")
            return ParameterValue(text, text == "true")
        case "json":
            canonical = _json(text)
            return ParameterValue(canonical, canonical)
        case _:
            return ParameterValue(text, text)


def _table(text: str, *, tenant_id: str, sources: Mapping[str, TableRef]) -> TableRef:
    """The table that a text names: a granted source by its name, a table of the tenant's dataset, or either by its full name. A source
    goes before a table of the same name."""
    if text in sources:
        table = sources[text]
    else:
        try:
            table = TableRef.parse(text) if "." in text else TableRef(tenant_id, text)
        except ValueError:
            raise OutOfReach("is not a table that this tenant may read") from None
    if not may_read(table, tenant_id, sources):
        raise OutOfReach("is not a table that this tenant may read")
    return table


def _day(text: str) -> date:
    try:
        return parse_day(text)
    except ValueError as error:
        raise Malformed(str(error)) from None


def _datetime(text: str) -> datetime:
    """A day and, after it, a time of that day; without one its midnight. Without a zone, as BigQuery's DATETIME is:
    https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#datetime_type"""
    try:
        if (match := _DATETIME.fullmatch(text)) is not None:
            parse_day(match[1])
            return datetime.fromisoformat(text)
    except ValueError:
        pass
    raise Malformed("must be a day that exists and a time of it without a zone, YYYY-MM-DDTHH:MM:SS")


def _json(text: str) -> str:
    """The text of the same value without spaces, its keys sorted. Refused is what a JSON column would not keep as it is: a key that comes
    twice, a number that a double or 64 bits cannot hold, half of a surrogate pair."""
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_int=_exact, parse_float=_exact, parse_constant=_exact)
        if _depth(value) > _JSON_DEPTH:
            raise Malformed(f"must be nested at most {_JSON_DEPTH} deep")
        canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        canonical.encode()
    except Malformed:
        raise
    except (ValueError, ArithmeticError, RecursionError):
        raise Malformed("must be JSON") from None
    return canonical


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(members := dict(pairs)) != len(pairs):
        raise Malformed("must be JSON without a key that comes twice in one object")
    return members


def _exact(text: str) -> int | float:
    """The number that a JSON text names. Raises Malformed where that would change it."""
    if (whole := re.fullmatch(r"-?[0-9]{1,20}", text)) and -(2**63) <= int(text) < 2**64:
        return int(text)
    if whole or not Decimal(text).is_finite() or Decimal(repr(float(text))) != Decimal(text):
        raise Malformed("must be JSON whose numbers fit 64 bits without losing a digit")
    return float(text)


def _depth(value: object) -> int:
    if isinstance(value, dict | list):
        return 1 + max(map(_depth, value.values() if isinstance(value, dict) else value), default=0)
    return 0


def _plain(number: Decimal) -> str:
    return decimal_text(number) if number else "0"  # whatever its sign and scale
