"""The columns of tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

ColumnType = Literal[
    "STRING", "BYTES", "INT64", "FLOAT64", "NUMERIC", "BOOL", "DATE", "DATETIME", "TIMESTAMP", "JSON", "RECORD"
]
Mode = Literal["NULLABLE", "REQUIRED", "REPEATED"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `fields` only for a RECORD."""

    name: str
    type: ColumnType
    mode: Mode = "NULLABLE"
    fields: tuple["Column", ...] = ()
    description: str = ""


def same_columns(left: Sequence[Column], right: Sequence[Column]) -> bool:
    """Whether two tables hold the same columns: names and types all the way down. Order and NULLABLE or REQUIRED do not count."""

    def shape(columns: Sequence[Column]) -> dict[str, object]:
        return {col.name.lower(): (col.type, col.mode == "REPEATED", shape(col.fields)) for col in columns}

    return shape(left) == shape(right)
