"""The template language: what stands in `configs/{provider}/{domain}/{template_name}.yml`.

`TemplateFile` is the file once its placeholders are resolved. `Template` is a file that loads, as the catalog hands it out.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from common.ids import PATH_NAME
from common.templates.parameters import IDENTIFIER, ParameterType
from common.templates.resolved import Severity, Write
from common.templates.tables import name_problem
from common.warehouse.warehouse import TableRef

_SECONDS = {"s": 1, "m": 60, "h": 3600}
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


def _duration(value: object) -> object:
    match = re.fullmatch(r"([0-9]{1,9})([smh])", value) if isinstance(value, str) else None
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


def _text(value: object) -> object:
    """A default as text, whatever YAML made of it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float | Decimal | date) else value


StepId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,49}$")]
ColumnName = Annotated[str, Field(pattern=rf"^{IDENTIFIER.pattern}$")]
TableName = Annotated[str, BeforeValidator(_table), Field(pattern=rf"^{PATH_NAME.pattern}$")]
"""A table of the tenant's dataset: never a metadata or a staging table."""
Duration = Annotated[float, BeforeValidator(_duration), Field(ge=1, le=86_400)]
"""Written `30s`, `10m` or `2h`; held in seconds."""
Bytes = Annotated[int, BeforeValidator(_bytes), Field(ge=1)]
"""Written `500MiB`, `10GiB` or `1TiB`; held in bytes."""


class Strict(BaseModel):
    """A part of a file: immutable, and without keys that nobody knows."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ParameterSpec(Strict):
    """A parameter that a run gives."""

    type: ParameterType
    required: bool = False
    default: Annotated[str | None, BeforeValidator(_text)] = None
    values: tuple[str, ...] = ()
    description: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.required and self.default is not None:
            raise ValueError("a required parameter has no use for a default")
        if (self.type == "enum") != bool(self.values):
            raise ValueError("values belong to the type enum, which needs some")
        return self


class _Check(Strict):
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,99}$")] | None = None
    severity: Severity = "error"


class NotNull(_Check):
    """No row has NULL in `column`."""

    type: Literal["not_null"]
    column: ColumnName


class Unique(_Check):
    """No two rows agree in all `columns`; NULL agrees with NULL."""

    type: Literal["unique"]
    columns: tuple[ColumnName, ...] = Field(min_length=1)


class RowCount(_Check):
    """There are at least `min` and at most `max` rows."""

    type: Literal["row_count"]
    min: int | None = Field(None, ge=0)
    max: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("needs min, max or both")
        return self


class Reconcile(_Check):
    """`measure`, an aggregate over the rows, equals the single value that the SELECT `with` yields, give or take `tolerance`.

    Two NULLs are equal: there was nothing to sum on either side.
    """

    type: Literal["reconcile"]
    measure: str
    other: str = Field(alias="with")
    tolerance: Decimal = Field(Decimal(0), ge=0, max_digits=38, decimal_places=9)


Check = Annotated[NotNull | Unique | RowCount | Reconcile, Field(discriminator="type")]


class Partition(Strict):
    """A day of a partitioned table. Without `value` all of them."""

    column: ColumnName
    value: date | None = None


class DestinationSpec(Strict):
    """The table that a step publishes, the same for every tenant and run, and how."""

    table: TableName
    write: Write
    partition: Partition | None = None
    clustering: tuple[ColumnName, ...] = Field((), max_length=4)

    @model_validator(mode="after")
    def _partition_fits_write(self) -> Self:
        has_value = self.partition is not None and self.partition.value is not None
        if (self.write == "replace_partition") != has_value:
            raise ValueError("replace_partition, and nothing else, needs partition.column and partition.value")
        return self


class _Step(Strict):
    id: StepId
    depends_on: tuple[StepId, ...] = ()
    timeout: Duration = 600.0
    max_attempts: int = Field(3, ge=1, le=10)
    checks: tuple[Check, ...] = ()


class QueryStep(_Step):
    """Stages the rows of a SELECT, checks them, publishes them."""

    type: Literal["query"]
    sql: str
    destination: DestinationSpec
    max_bytes_billed: Bytes | None = None


class DqStep(_Step):
    """Checks a table that is published already."""

    type: Literal["dq"]
    table: TableName
    partition: Partition | None = None
    checks: tuple[Check, ...] = Field(min_length=1)


Step = Annotated[QueryStep | DqStep, Field(discriminator="type")]


class TemplateFile(Strict):
    """A template's file, its placeholders resolved."""

    description: str = Field(min_length=1)
    parameters: dict[Annotated[str, Field(pattern=rf"^{PATH_NAME.pattern}$")], ParameterSpec] = Field({})
    steps: tuple[Step, ...] = Field(min_length=1, max_length=100)


class TemplateName(NamedTuple):
    """Where a template stands in configs/; `str` is its path without `.yml`."""

    provider: str
    domain: str
    template_name: str

    def __str__(self) -> str:
        return "/".join(self)


@dataclass(frozen=True, slots=True)
class Template:
    """A template that loads. `data` is its file with the placeholders in place; `digest` the file's SHA-256, in hex.

    `description` and `parameters` are as the file has them. `destinations` are the tables that it publishes, each with its partition
    column or None; `sources` the names of the sources that it reads.
    """

    name: TemplateName
    digest: str
    data: Mapping[str, Any]
    description: str
    parameters: Mapping[str, ParameterSpec]
    destinations: Mapping[str, str | None]
    sources: frozenset[str]
