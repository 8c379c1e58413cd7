"""Parameters of a template: what values each type takes, in which canonical text a run keeps them, and how they are bound in SQL."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

from common.day import parse_day
from common.templates.tables import may_read
from common.warehouse.warehouse import ColumnType, TableRef, Value

ParameterType = Literal["date", "string", "integer", "number", "boolean", "enum", "table", "identifier"]

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]{1,29}(\.[0-9]{1,9})?", re.ASCII)

COLUMN_TYPES: Mapping[ParameterType, ColumnType] = {
    "date": "DATE",
    "string": "STRING",
    "integer": "INT64",
    "number": "NUMERIC",
    "boolean": "BOOL",
    "enum": "STRING",
    "table": "STRING",
    "identifier": "STRING",
}

SAMPLES: Mapping[ParameterType, str] = {
    "date": "2025-11-15",
    "string": "sample",
    "integer": "1",
    "number": "1",
    "boolean": "true",
    "table": "sample_table",
    "identifier": "sample_identifier",
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


def parse(
    kind: ParameterType, text: str, *, choices: tuple[str, ...], tenant_id: str, sources: Mapping[str, TableRef]
) -> ParameterValue:
    """Read a value; `choices` are an enum's. Raises Malformed, and OutOfReach for a table."""
    match kind:
        case "table":
            table = str(_table(text, tenant_id=tenant_id, sources=sources))
            return ParameterValue(table, table)
        case "date":
            day = _day(text)
            return ParameterValue(day.isoformat(), day)
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
        case "enum":
            if text not in choices:
                raise Malformed(f"must be one of {', '.join(choices)}")
        case "identifier":
            if not IDENTIFIER.fullmatch(text):
                raise Malformed("must be at most 128 characters of A-Z, a-z, 0-9 and _, not starting with a digit")
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


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text if Decimal(text) else "0"
