"""Data-quality checks as a template writes them: `checks:` of a step. What they measure is compiled in `checks.py`.

NULL passes `accepted_values`, `range` and `relationships`, which are about values that are there: add `not_null` where there must be one.
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from common.templates.resolved import Severity
from common.templates.scalars import Accepted, Age, Bound, ColumnName
from common.templates.strict import Strict


class _Check(Strict):
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,99}$")] | None = None
    """How results name it; without one, made from its type and column."""
    severity: Severity = "error"
    """`error` fails the step, which then publishes nothing; `warn` is recorded."""


class NotNull(_Check):
    """No row has NULL in `column`."""

    type: Literal["not_null"]
    column: ColumnName
    """A column of the rows."""


class Unique(_Check):
    """No two rows agree in all `columns`; NULL agrees with NULL."""

    type: Literal["unique"]
    columns: tuple[ColumnName, ...] = Field(min_length=1)
    """Columns of the rows, which are a key together."""


class AcceptedValues(_Check):
    """Every value of `column` is one of `values`; NULL passes."""

    type: Literal["accepted_values"]
    column: ColumnName
    """A column of the rows."""
    values: tuple[Accepted, ...] = Field(min_length=1, max_length=1000)
    """Texts, numbers, days or booleans, all of one kind. `"{name}"` is the value of a parameter, in its own type."""

    @field_validator("values")
    @classmethod
    def _of_one_kind(cls, values: tuple[Accepted, ...]) -> tuple[Accepted, ...]:
        kinds = {int if type(value) is Decimal else type(value) for value in values}
        if len(kinds) > 1:
            raise ValueError("must be of one kind; put texts that YAML takes for something else into quotes")
        return values


class Range(_Check):
    """Every value of `column`, a number, DATE, DATETIME or TIMESTAMP, lies between `min` and `max`, which belong to the range; NULL passes,
    NaN fails."""

    type: Literal["range"]
    column: ColumnName
    """A column of the rows."""
    min: Bound | None = None
    """The least value. A day means its first moment; a time without a zone is in UTC. `"{name}"` is the value of a parameter."""
    max: Bound | None = None
    """The greatest value, written as `min` is."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("needs min, max or both")
        if self.min is not None and self.max is not None and self.of_time != isinstance(self.max, datetime):
            raise ValueError("min and max must be both numbers or both days or times")
        return self

    @property
    def of_time(self) -> bool:
        """Whether it bounds days or times, not numbers."""
        return isinstance(self.max if self.min is None else self.min, datetime)


class RowCount(_Check):
    """There are at least `min` and at most `max` rows, and not many more or fewer than the last time."""

    type: Literal["row_count"]
    min: int | None = Field(None, ge=0)
    """The least number of rows."""
    max: int | None = Field(None, ge=0)
    """The greatest number of rows."""
    max_change: Decimal | None = Field(None, ge=0, max_digits=38, decimal_places=9)
    """steps that publish rows only: by which fraction the number may differ from that of the last COMPLETE run of this template and step
    that had rows; 0.5 allows half as many to one and a half times as many. A step that replaces a partition is compared with the last run
    for another day. Where there is no such run, or none in 400 days, it passes."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.min is None and self.max is None and self.max_change is None:
            raise ValueError("needs min, max or max_change")
        return self


class Freshness(_Check):
    """The greatest value of `column`, a DATE, DATETIME (in UTC) or TIMESTAMP, was at most `max_age` old when the run was accepted. A DATE
    counts from its midnight in UTC. Without any value it fails."""

    type: Literal["freshness"]
    column: ColumnName
    """A column of the rows."""
    max_age: Age
    """How old the newest value may be, for example 36h or 3d."""


class Reconcile(_Check):
    """`measure`, an aggregate over the rows, equals the single value that the SELECT `with` yields, give or take `tolerance`.

    Two NULLs are equal: there was nothing to sum on either side.
    """

    type: Literal["reconcile"]
    measure: str
    """An aggregate over the rows, for example `SUM(cost)`."""
    other: str = Field(alias="with")
    """A SELECT of one value."""
    tolerance: Decimal = Field(Decimal(0), ge=0, max_digits=38, decimal_places=9)
    """By how much the two may differ, which are then numbers."""


class Relationships(_Check):
    """Every value of `column` occurs in the column `field` of the table `to`; NULL passes."""

    type: Literal["relationships"]
    column: ColumnName
    """A column of the rows."""
    to: str
    """A table of the tenant by its name, or a source: `"{source.services}"`."""
    field: ColumnName
    """The column there."""


class Expression(_Check):
    """The condition `sql` is true for every row; NULL is not true."""

    type: Literal["expression"]
    sql: str
    """A boolean expression over the columns of one row, for example `cost >= credits`. Parameters are written `@name`."""


Check = Annotated[
    NotNull | Unique | AcceptedValues | Range | RowCount | Freshness | Reconcile | Relationships | Expression,
    Field(discriminator="type"),
]
