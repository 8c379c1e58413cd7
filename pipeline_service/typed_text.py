"""Warehouse scalars as text and back, without losing a digit."""

import base64
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal

from common.warehouse.columns import ColumnType
from common.warehouse.warehouse import Value


def to_text(value: Value) -> str | None:
    """A scalar as text; None stays None (NULL)."""
    match value:
        case None | str():
            return value
        case bytes():
            return base64.b64encode(value).decode()
        case bool():
            return "true" if value else "false"
        case date():  # datetime included
            return value.isoformat()
        case _:
            return str(value)


_READERS: Mapping[str, Callable[[str], Value]] = {
    "BYTES": base64.b64decode,
    "BOOL": lambda text: text == "true",
    "INT64": int,
    "FLOAT64": float,
    "NUMERIC": Decimal,
    "DATE": date.fromisoformat,
    "DATETIME": datetime.fromisoformat,
    "TIMESTAMP": datetime.fromisoformat,
}


def from_text(column_type: ColumnType, text: str | None) -> Value:
    """The scalar of that type that `to_text` wrote."""
    if text is None:
        return None
    reader = _READERS.get(column_type)
    return reader(text) if reader else text
