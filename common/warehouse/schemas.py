"""Table schemas from JSON files, as BigQuery writes a table: `schema.fields`, `timePartitioning`, `clustering`, `description`.

https://cloud.google.com/bigquery/docs/reference/rest/v2/tables
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from common.warehouse.columns import Column, ColumnType, Mode
from common.warehouse.warehouse import TableSpec


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Field(_Strict):
    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")
    type: ColumnType
    mode: Mode = "NULLABLE"
    description: str = ""
    fields: tuple["_Field", ...] = ()

    def column(self) -> Column:
        nested = tuple(field.column() for field in self.fields)
        return Column(self.name, self.type, self.mode, nested, self.description)


class _Fields(_Strict):
    fields: tuple[_Field, ...] = Field(min_length=1)


class _Clustering(_Strict):
    fields: tuple[str, ...] = Field(max_length=4)


class _Partitioning(_Strict):
    type: Literal["DAY"]
    field: str


class _Table(_Strict):
    fields: _Fields = Field(alias="schema")
    partitioning: _Partitioning | None = Field(None, alias="timePartitioning")
    clustering: _Clustering | None = None
    description: str = ""


def load_table_spec(path: Path) -> TableSpec:
    """Read a table's schema. Raises OSError, and ValueError for a file that is none."""
    table = _Table.model_validate_json(path.read_bytes())
    return TableSpec(
        columns=tuple(field.column() for field in table.fields.fields),
        partition_column=table.partitioning.field if table.partitioning else None,
        clustering=table.clustering.fields if table.clustering else (),
        description=table.description,
    )
