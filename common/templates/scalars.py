"""What single values in a template look like: durations, amounts, names, and the values that checks compare with."""

import re
from datetime import UTC, date, datetime
from decimal import Context, Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema

from common.ids import PATH_NAME
from common.templates.parameters import IDENTIFIER
from common.templates.tables import name_problem
from common.warehouse.warehouse import TableRef

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?![0-9])", re.ASCII)
_NUMERIC_LIMIT, _SMALLEST, _EXACT = Decimal(10) ** 29, Decimal("1e-9"), Context(prec=60)
"""NUMERIC has 29 digits before the point and nine after it."""


def _duration(value: object) -> object:
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("must be a duration such as 30s, 10m or 2h")
    return float(int(match[1]) * _SECONDS[match[2]])


def _bytes(value: object) -> object:
    match = re.fullmatch(r"([0-9]{1,15})(B|KiB|MiB|GiB|TiB)", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("must be an amount such as 500MiB, 10GiB or 1TiB")
    return int(match[1]) * _BYTES[match[2]]


def _table(value: object) -> object:
    if isinstance(value, str) and (problem := name_problem(TableRef("dataset", value))) is not None:
        raise ValueError(problem)
    return value


def _accepted(value: object) -> str | int | Decimal | bool | date:
    """A value of accepted_values, as YAML or a parameter has it."""
    if isinstance(value, bool) or (isinstance(value, date) and not isinstance(value, datetime)):
        return value
    if isinstance(value, str):
        if len(value) > 1000:
            raise ValueError("must have at most 1000 characters")
        return value
    if (number := _number(value)) is not None:
        return number
    raise ValueError(
        "must be a text, a number, a day, true or false; in quotes where YAML takes a text for something else"
    )


def _bound(value: object) -> int | Decimal | datetime:
    """A bound of a range, as YAML or a parameter has it. A day is its midnight; what names no zone is in UTC."""
    try:
        if isinstance(value, str) and _MOMENT.match(value):
            value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        value = None
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if (number := _number(value)) is not None:
        return number
    raise ValueError("must be a number, a day such as 2025-11-15, or a time such as 2025-11-15T12:00:00Z")


def _number(value: object) -> int | Decimal | None:
    """An INT64 or a NUMERIC; None for what is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return value
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if (
        not number.is_finite()
        or number.copy_abs() >= _NUMERIC_LIMIT
        or number != number.quantize(_SMALLEST, context=_EXACT)
    ):
        raise ValueError("must be a number of at most 29 digits before the point and 9 after it")
    return number


def _written(pattern: str) -> WithJsonSchema:
    """What editors are told of a value that is written as text and held as a number."""
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$"})


StepId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,49}$")]
CredentialName = Annotated[str, Field(pattern=rf"^{PATH_NAME.pattern}$")]
ColumnName = Annotated[str, Field(pattern=rf"^{IDENTIFIER.pattern}$")]
TableName = Annotated[
    str,
    BeforeValidator(_table),
    Field(pattern=rf"^{PATH_NAME.pattern}$"),
    WithJsonSchema({"type": "string", "pattern": rf"^{PATH_NAME.pattern}$"}),
]
"""A table of the tenant's dataset: never a metadata or a staging table."""
Duration = Annotated[float, BeforeValidator(_duration), Field(ge=1, le=86_400), _written("[0-9]{1,9}[smhd]")]
"""Written `30s`, `10m` or `2h`, at most a day; held in seconds."""
Age = Annotated[float, BeforeValidator(_duration), Field(ge=1, le=3650 * 86_400), _written("[0-9]{1,9}[smhd]")]
"""Written `90m`, `36h` or `3d`, at most ten years; held in seconds."""
Bytes = Annotated[int, BeforeValidator(_bytes), Field(ge=1), _written("[0-9]{1,15}(B|KiB|MiB|GiB|TiB)")]
"""Written `500MiB`, `10GiB` or `1TiB`; held in bytes."""
Accepted = Annotated[
    str | int | Decimal | bool | date,
    PlainValidator(_accepted),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]
Bound = Annotated[int | Decimal | datetime, PlainValidator(_bound), WithJsonSchema({"type": ["string", "number"]})]
