"""Schemas, parameters and rows between REST's JSON and the port's types.

https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/list, https://cloud.google.com/bigquery/docs/reference/rest/v2/QueryParameter
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from common.warehouse.columns import Column, ColumnType
from common.warehouse.warehouse import Parameter, Value

ANSWERED: Mapping[ColumnType, str] = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN"}
ACCEPTED: Mapping[str, ColumnType] = {name: column_type for column_type, name in ANSWERED.items()}


def columns(fields: Iterable[Mapping[str, Any]]) -> tuple[Column, ...]:
    """The columns of a TableSchema."""
    return tuple(
        Column(
            name=field["name"],
            type=ACCEPTED.get(field["type"], field["type"]),
            mode=field.get("mode", "NULLABLE"),
            fields=columns(field.get("fields", ())),
            description=field.get("description", ""),
        )
        for field in fields
    )


def fields(columns: Iterable[Column]) -> list[dict[str, Any]]:
    """A TableSchema's fields, under the names of types that the API answers with."""
    return [
        {
            "name": column.name,
            "type": ANSWERED.get(column.type, column.type),
            "mode": column.mode,
            **({"description": column.description} if column.description else {}),
            **({"fields": fields(column.fields)} if column.fields else {}),
        }
        for column in columns
    ]


def row(values: Mapping[str, Any], columns: Sequence[Column]) -> dict[str, Any]:
    """One row as `{"f": [{"v": ...}, ...]}`."""
    return {"f": [{"v": _cell(values[column.name], column)} for column in columns]}


def _cell(value: Any, column: Column) -> Any:
    if column.mode == "REPEATED":
        return [{"v": _scalar(item, column)} for item in value or ()]
    return _scalar(value, column)


def _scalar(value: Any, column: Column) -> Any:
    if value is None:
        return None
    match column.type:
        case "RECORD":
            return row(value, column.fields)
        case "BYTES":
            return base64.b64encode(value).decode("ascii")
        case "BOOL":
            return "true" if value else "false"
        case "TIMESTAMP":
            elapsed = value - datetime(1970, 1, 1, tzinfo=UTC)
            return str((elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds)
        case "DATE" | "DATETIME":
            return value.isoformat()
        case "FLOAT64":
            return repr(float(value))
        case "NUMERIC":
            text = f"{value:f}"
            return text.rstrip("0").rstrip(".") if "." in text else text
        case _:
            return str(value)


def parameter(resource: Mapping[str, Any]) -> Parameter:
    """A QueryParameter."""
    kind, value = resource["parameterType"], resource.get("parameterValue", {})
    if kind["type"] == "ARRAY":
        element = kind["arrayType"]["type"]
        items = [_value(element, item.get("value")) for item in value.get("arrayValues", ())]
        return Parameter(name=resource["name"], type=element, value=items, array=True)
    return Parameter(name=resource["name"], type=kind["type"], value=_value(kind["type"], value.get("value")))


def _value(kind: str, text: str | None) -> Value:
    if text is None:
        return None
    match kind:
        case "INT64":
            return int(text)
        case "FLOAT64":
            return float(text)
        case "NUMERIC":
            return Decimal(text)
        case "BOOL":
            return text == "true"
        case "BYTES":
            return base64.b64decode(text)
        case "DATE":
            return date.fromisoformat(text)
        case "TIMESTAMP" | "DATETIME":
            return datetime.fromisoformat(text)
        case _:
            return text
