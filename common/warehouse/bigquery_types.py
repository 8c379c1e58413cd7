"""The port's types in BigQuery's words and back: columns, tables, parameters, names.

Type names: https://cloud.google.com/bigquery/docs/reference/rest/v2/tables#TableFieldSchema. The API answers with the legacy ones.
"""

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, get_args

from google.cloud import bigquery

from common.errors import Terminal
from common.warehouse.columns import Column, ColumnType, Mode
from common.warehouse.warehouse import Parameter, TableRef, TableSpec, Value

_STANDARD_NAMES: Mapping[str, ColumnType] = {
    "INTEGER": "INT64",
    "FLOAT": "FLOAT64",
    "BOOLEAN": "BOOL",
    "STRUCT": "RECORD",
    "DECIMAL": "NUMERIC",
    **{name: name for name in get_args(ColumnType)},
}
_MODES: Mapping[str, Mode] = {name: name for name in get_args(Mode)}


def column(field: bigquery.SchemaField) -> Column:
    """A column of ours. Raises Terminal for a type that the port does not know, GEOGRAPHY for example."""
    if field.field_type.upper() not in _STANDARD_NAMES:
        raise Terminal(f"The column {field.name} is of a type that is not supported, {field.field_type}")
    return Column(
        name=field.name,
        type=_STANDARD_NAMES[field.field_type.upper()],
        mode=_MODES[(field.mode or "NULLABLE").upper()],
        fields=tuple(column(child) for child in field.fields),
        description=field.description or "",
    )


def schema_field(col: Column) -> bigquery.SchemaField:
    """A column of BigQuery's."""
    return bigquery.SchemaField.from_api_repr(field_resource(col))


def field_resource(col: Column) -> dict[str, Any]:
    """A TableFieldSchema of the REST API."""
    resource: dict[str, Any] = {"name": col.name, "type": col.type, "mode": col.mode}
    if col.description:
        resource["description"] = col.description
    if col.fields:
        resource["fields"] = [field_resource(child) for child in col.fields]
    return resource


def as_text(field: bigquery.SchemaField) -> bigquery.SchemaField:
    """The field to read rows with: the client would parse JSON, the port wants its text."""
    kind = "STRING" if field.field_type.upper() == "JSON" else field.field_type
    return bigquery.SchemaField(
        field.name, kind, mode=field.mode, fields=tuple(as_text(child) for child in field.fields)
    )


def spec(table: bigquery.Table) -> TableSpec:
    """What a table is made of."""
    return TableSpec(
        columns=tuple(column(field) for field in table.schema),
        partition_column=table.time_partitioning.field if table.time_partitioning else None,
        clustering=tuple(table.clustering_fields or ()),
        description=table.description or "",
    )


def new_table(reference: bigquery.TableReference, wanted: TableSpec) -> bigquery.Table:
    """An empty table to create, partitioned by day where `wanted` names a column."""
    table = bigquery.Table(reference, schema=[schema_field(col) for col in wanted.columns])
    if wanted.description:
        table.description = wanted.description
    return bigquery.Table.from_api_repr({**table.to_api_repr(), **layout(wanted.partition_column, wanted.clustering)})


def layout(partition_column: str | None, clustering: Sequence[str]) -> dict[str, Any]:
    """How a table or a query's destination is partitioned, by day, and clustered, in the REST API's words."""
    resource: dict[str, Any] = {}
    if partition_column:
        resource["timePartitioning"] = {"type": "DAY", "field": partition_column}
    if clustering:
        resource["clustering"] = {"fields": list(clustering)}
    return resource


def reference(ref: TableRef, project: str, *, partition: date | None = None) -> bigquery.TableReference:
    """The full name of a table in `project` unless it names its own, or of one day of it: `table$YYYYMMDD`."""
    decorator = f"${partition:%Y%m%d}" if partition else ""
    return bigquery.TableReference(
        bigquery.DatasetReference(ref.project or project, ref.dataset), f"{ref.table}{decorator}"
    )


def quoted(*names: str) -> str:
    """A backquoted identifier. Raises ValueError for a name that would end the quotation."""
    text = ".".join(names)
    if "`" in text or "\\" in text:
        raise ValueError("an identifier with a backquote or a backslash")
    return f"`{text}`"


def parameter_resource(parameter: Parameter) -> dict[str, Any]:
    """A QueryParameter of the REST API. https://cloud.google.com/bigquery/docs/reference/rest/v2/QueryParameter"""
    if not parameter.array:
        kind: dict[str, Any] = {"type": parameter.type}
        value: dict[str, Any] = {"value": _text(parameter.value)}
    else:
        kind = {"type": "ARRAY", "arrayType": {"type": parameter.type}}
        items = parameter.value if isinstance(parameter.value, Sequence) else ()
        value = {"arrayValues": [{"value": _text(item)} for item in items]}
    return {"name": parameter.name, "parameterType": kind, "parameterValue": value}


def _text(value: Value | Sequence[Value]) -> str | None:
    """A scalar in the canonical text of its type. A datetime without an offset reads as UTC where the type is TIMESTAMP."""
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case datetime() if value.tzinfo:
            return value.astimezone(UTC).isoformat(sep=" ")
        case date():
            return value.isoformat()
        case Decimal():
            return f"{value:f}"
        case _:
            return str(value)
