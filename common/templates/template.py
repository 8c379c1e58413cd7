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
from common.templates.load_specs import Columns, CsvSpec
from common.templates.parameter_spec import ParameterSpec
from common.templates.resolved import OnFailure, Write
from common.templates.scalars import Bytes, ColumnName, CredentialName, Duration, StepId, TableName
from common.templates.strict import Strict
from common.warehouse.file_formats import LoadFormat


class Partition(Strict):
    """A day of a partitioned table. Without `value` all of them."""

    column: ColumnName
    """The DATE or TIMESTAMP column by whose days the table is partitioned."""
    value: date | None = None
    """The day, for example `"{date}"`."""


class DestinationSpec(Strict):
    """The table that a step publishes, the same for every tenant and run, and how."""

    table: TableName
    """Its name within the tenant's dataset. No two steps of a template publish the same."""
    write: Write
    """`replace_partition` replaces one day of the table, `replace_table` all of it, `merge` the rows that agree in all `keys`, and adds the
    others, and `view` publishes the SELECT itself: at once, and only when the checks have passed."""
    keys: tuple[ColumnName, ...] = Field((), max_length=16)
    """Columns that tell the rows of `merge` apart: no two rows of the SELECT may agree in all of them, and none may have NULL in one."""
    partition: Partition | None = None
    """By which column the table is partitioned, and which day replace_partition replaces."""
    clustering: tuple[ColumnName, ...] = Field((), max_length=4)
    """Columns by which BigQuery keeps similar rows together."""

    @model_validator(mode="after")
    def _fits_write(self) -> Self:
        has_value = self.partition is not None and self.partition.value is not None
        if (self.write == "replace_partition") != has_value:
            raise ValueError("replace_partition, and nothing else, needs partition.column and partition.value")
        if (self.write == "merge") != bool(self.keys):
            raise ValueError("merge, and nothing else, needs keys")
        if len({key.lower() for key in self.keys}) != len(self.keys):
            raise ValueError("a column stands twice among the keys")
        if self.write == "view" and (self.partition or self.clustering):
            raise ValueError("a view has no rows of its own: neither partition nor clustering")
        return self


class _Step(Strict):
    id: StepId
    """The step's name, unique in the template."""
    depends_on: tuple[StepId, ...] = ()
    """Steps that must be complete before. A step waits without being told for those that publish what it reads."""
    timeout: Duration = 600.0
    """How long one attempt may take, at most 24h; 10m where nothing is said."""
    max_attempts: int = Field(3, ge=1, le=10)
    """How often it is tried where what failed may pass, such as a warehouse that is busy."""
    when: str | None = None
    """A SELECT of one BOOL. The step runs only where it is TRUE; otherwise it is skipped, and so are the steps that depend on it."""
    on_failure: OnFailure = "stop"
    """What its failure means for the run: `stop` fails it and skips the steps that depend on this one; `continue` does neither."""
    checks: tuple[Check, ...] = ()
    """What must hold for its rows. They run before anything is published."""


class QueryStep(_Step):
    """Stages the rows of a SELECT, checks them, publishes them."""

    type: Literal["query"]
    sql: str
    """One SELECT of GoogleSQL. Tables are `{tenant_id}.name` or `{source.name}`; a parameter's value is written `@name`."""
    destination: DestinationSpec
    max_bytes_billed: Bytes | None = None
    """The query fails instead of billing more than this, for example 10GiB."""
    credential: CredentialName | None = None
    """A credential of the tenant, of the kind gcp_service_account: the query runs as that account. Without one it runs as the service's."""
    newest_source_row: str | None = None
    """A SELECT of one TIMESTAMP: when the newest of the rows that `sql` reads came into the source. Runs show it, and keep it."""

    @model_validator(mode="after")
    def _view_reads_later(self) -> Self:
        if self.destination.write == "view" and self.credential is not None:
            raise ValueError("a view runs as whoever reads it: it takes no credential")
        if self.destination.write == "view" and self.newest_source_row is not None:
            raise ValueError("a view reads its tables when it is read: no row of theirs is the newest")
        return self


class LoadStep(_Step):
    """Stages the rows of files, checks them, publishes them."""

    type: Literal["load"]
    uri: str
    """Where the files lie: `{location.NAME}/{tenant_id}/costs.csv`, or `{shared.NAME}/...`, with one `*` in the last part if need be. The
    server's settings name the places. Placeholders after that: built-in names, and parameters of the types date, integer, enum, boolean
    and identifier."""
    format: LoadFormat
    """`csv`; `ndjson`, a JSON object on each line; `parquet`."""
    columns: Columns = ()
    """The columns of the files: in their order for csv, by name otherwise. Only parquet, which says itself, may go without."""
    csv: CsvSpec | None = None
    """csv only: how the files are written."""
    destination: DestinationSpec

    @model_validator(mode="after")
    def _fits_format(self) -> Self:
        if self.format != "parquet" and not self.columns:
            raise ValueError(f"{self.format} needs columns")
        if self.format != "csv" and self.csv is not None:
            raise ValueError("csv is for the format csv")
        if self.format == "csv" and not all(column.is_flat for column in self.columns):
            raise ValueError("csv has neither arrays nor records")
        if self.destination.write == "view":
            raise ValueError("a view is made of a SELECT: load into a table")
        return self


class DqStep(_Step):
    """Checks a table that is published already."""

    type: Literal["dq"]
    table: TableName
    """The table of the tenant's dataset that is checked."""
    partition: Partition | None = None
    """The day of it that is checked; without one all of it."""
    checks: tuple[Check, ...] = Field(min_length=1)
    """What must hold for its rows."""


PublishingStep = QueryStep | LoadStep
Step = Annotated[QueryStep | LoadStep | DqStep, Field(discriminator="type")]


class TemplateFile(Strict):
    """A template's file, its placeholders resolved."""

    description: str = Field(min_length=1)
    """What it does, for those who call."""
    parameters: dict[Annotated[str, Field(pattern=rf"^{PATH_NAME.pattern}$")], ParameterSpec] = Field({})
    """What a run may give, by name. One named `date` has the type date, and is the field `date` of a request."""
    timeout: Duration | None = None
    """How long a run may take, from its first step on, at most 24h; without limit where nothing is said."""
    max_active_runs: int | None = Field(None, ge=1, le=1000)
    """How many of its runs a tenant may have active at once, where that is fewer than the server allows; the others wait, PENDING."""
    exclusive: bool = Field(False, strict=True)
    """Whether a tenant may have one active run of it and no other: with other parameters another is refused, PIPELINE_BUSY."""
    max_bytes: Bytes | None = None
    """What all statements of a run together may bill, for example 50GiB, where that is less than the server allows. A step that does not
    fit into what is left fails with BUDGET_EXCEEDED."""
    steps: tuple[Step, ...] = Field(min_length=1, max_length=100)
    """What a run does. Steps that do not wait for each other run at the same time."""

    @model_validator(mode="after")
    def _one_is_one(self) -> Self:
        if self.exclusive and self.max_active_runs is not None:
            raise ValueError("an exclusive template has one active run: it takes no max_active_runs")
        return self


class TemplateName(NamedTuple):
    """Where a template stands in configs/; `str` is its path without `.yml`."""

    provider: str
    domain: str
    template_name: str

    def __str__(self) -> str:
        return "/".join(self)


@dataclass(frozen=True, slots=True)
class Template:
    """A template that loads. `text` is its file, `data` what that says, with the placeholders in place; `digest` its SHA-256, in hex.

    `description` and `parameters` are as the file has them. `destinations` are the tables that it publishes, each with its partition
    column or None; `sources` the names of the sources that it reads, `places` those of the places that it loads files from; `exclusive` as
    TemplateFile has it.
    """

    name: TemplateName
    digest: str
    text: str
    data: Mapping[str, Any]
    description: str
    parameters: Mapping[str, ParameterSpec]
    destinations: Mapping[str, str | None]
    sources: frozenset[str]
    exclusive: bool = False
    places: frozenset[str] = frozenset()
