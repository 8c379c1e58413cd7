"""What a `load` step says of its files beyond where they lie: their columns, and how a CSV file is written."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from common.templates.scalars import ColumnName
from common.templates.strict import Strict
from common.warehouse.columns import Column, ColumnType
from common.warehouse.file_formats import CsvOptions

MAX_COLUMNS = 1000
MAX_DEPTH = 15
"""Of records inside each other, as on BigQuery."""


class LoadColumn(Strict):
    """A column of the files."""

    name: ColumnName
    """Its name in the table and, but for CSV, in the files."""
    type: ColumnType
    """What its values are. Whatever is not written as this type is, fails the step."""
    mode: Literal["NULLABLE", "REPEATED"] = "NULLABLE"
    """`REPEATED` for an array, which CSV has not."""
    fields: tuple["LoadColumn", ...] = Field((), max_length=MAX_COLUMNS)
    """RECORD only, which needs them and CSV has not: its own columns."""

    @model_validator(mode="after")
    def _record_has_fields(self) -> Self:
        if (self.type == "RECORD") != bool(self.fields):
            raise ValueError("RECORD, and nothing else, needs fields")
        _require_distinct(self.fields)
        if _depth(self.fields) > MAX_DEPTH:
            raise ValueError(f"records are nested at most {MAX_DEPTH} deep")
        return self

    def column(self) -> Column:
        """The column of the warehouse."""
        return Column(self.name, self.type, self.mode, tuple(field.column() for field in self.fields))

    @property
    def is_flat(self) -> bool:
        """Whether a CSV file can have it."""
        return self.mode != "REPEATED" and self.type != "RECORD"


def _require_distinct(columns: Sequence[LoadColumn]) -> None:
    if len({column.name.lower() for column in columns}) != len(columns):
        raise ValueError("two columns have the same name")


def _depth(columns: Sequence[LoadColumn]) -> int:
    return 1 + max((_depth(column.fields) for column in columns), default=0) if columns else 0


def _distinct(columns: tuple[LoadColumn, ...]) -> tuple[LoadColumn, ...]:
    _require_distinct(columns)
    return columns


Columns = Annotated[tuple[LoadColumn, ...], Field(max_length=MAX_COLUMNS), AfterValidator(_distinct)]


class CsvSpec(Strict):
    """How a CSV file is written. Fields may stand in double quotes, and then hold delimiters, line ends and, doubled, quotes."""

    delimiter: str = Field(",", pattern=r"^[\t\x20-\x21\x23-\x7e]$")
    """What stands between two fields: one ASCII character, `"\\t"` for a tab."""
    skip_leading_rows: int = Field(0, ge=0, le=1000)
    """How many rows of each file are a header. Columns are told by their order, not by it."""
    null_marker: str = Field("", max_length=100, pattern=r'^[^"\r\n]*$')
    """The field, not in quotes, that is NULL. Where it is not the empty one, an empty field is an empty text, and wrong for other types."""

    @model_validator(mode="after")
    def _marker_is_one_field(self) -> Self:
        if self.delimiter in self.null_marker:
            raise ValueError("null_marker holds the delimiter")
        return self

    def options(self) -> CsvOptions:
        """The same for the warehouse."""
        return CsvOptions(self.delimiter, self.skip_leading_rows, self.null_marker)
