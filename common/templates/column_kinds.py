"""What kind of values a SELECT's columns hold, as far as its text tells: of a column that it takes from a table, nothing is known.

Only asked when a template loads: it takes longer than all the rest.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Literal

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.schema import MappingSchema

from common.templates.grammar import parse_select
from common.warehouse.columns import Column, ColumnType
from common.warehouse.warehouse import Parameter, Value

Kind = Literal["text", "number", "boolean", "day or time"]

_TYPES: Mapping[Kind, frozenset[exp.DType]] = {
    "text": frozenset({exp.DType.VARCHAR, exp.DType.TEXT}),
    "number": frozenset({exp.DType.INT, exp.DType.BIGINT, exp.DType.DOUBLE, exp.DType.DECIMAL, exp.DType.BIGDECIMAL}),
    "boolean": frozenset({exp.DType.BOOLEAN}),
    "day or time": frozenset({exp.DType.DATE, exp.DType.DATETIME, exp.DType.TIMESTAMP, exp.DType.TIMESTAMPTZ}),
}

_DECLARED: Mapping[ColumnType, Kind] = {
    "STRING": "text",
    "INT64": "number",
    "FLOAT64": "number",
    "NUMERIC": "number",
    "BOOL": "boolean",
    "DATE": "day or time",
    "DATETIME": "day or time",
    "TIMESTAMP": "day or time",
}


def column_kinds(sql: str, parameters: Sequence[Parameter]) -> Mapping[str, Kind]:
    """The kinds of the columns that a SELECT which was checked yields, by name in lower case; only those that are certain."""
    query = parse_select(sql)
    types = {parameter.name: parameter.type for parameter in parameters}
    for node in list(query.find_all(exp.Parameter)):
        if node.name in types:
            to = exp.DataType.build(types[node.name], dialect="bigquery")
            node.replace(exp.Cast(this=exp.Null(), to=to))
    try:
        qualified = qualify(
            query,
            schema=MappingSchema({}, dialect="bigquery"),
            dialect="bigquery",
            validate_qualify_columns=False,
            expand_stars=False,
            quote_identifiers=False,
        )
        annotated = annotate_types(qualified, dialect="bigquery")
    except (SqlglotError, KeyError, ValueError, AttributeError, RecursionError):
        return {}  # sqlglot gives up on what only the tables' columns could tell
    if not isinstance(annotated, exp.Select):
        return {}  # the other half of a UNION has a say
    return {
        selected.alias_or_name.lower(): kind
        for selected in annotated.selects
        if (kind := _kind(selected)) is not None and not isinstance(selected.unalias(), exp.Null)
    }


def declared_kinds(columns: Sequence[Column]) -> Mapping[str, Kind]:
    """The kinds of columns that are declared, by name in lower case; none of an array, a record, BYTES and JSON."""
    return {
        column.name.lower(): _DECLARED[column.type]
        for column in columns
        if column.type in _DECLARED and column.mode != "REPEATED"
    }


def kind_of(value: Value) -> Kind:
    """The kind of a value that a template has."""
    match value:
        case bool():
            return "boolean"
        case str():
            return "text"
        case date():
            return "day or time"
        case _:
            return "number"


def _kind(node: exp.Expr) -> Kind | None:
    return next((kind for kind, types in _TYPES.items() if node.type is not None and node.type.this in types), None)
