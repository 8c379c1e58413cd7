"""The template language: what stands in `configs/{provider}/{domain}/{template_name}.yml`.

`TemplateFile` is the file once its placeholders are resolved. `Template` is a file that loads, as the catalog hands it out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from common.ids import PATH_NAME
from common.templates.check_specs import Check
from common.templates.parameter_spec import ParameterSpec
from common.templates.resolved import Write
from common.templates.scalars import Bytes, ColumnName, Duration, StepId, TableName
from common.templates.strict import Strict


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
