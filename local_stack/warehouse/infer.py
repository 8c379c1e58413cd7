"""The GoogleSQL types inside a statement, as far as its tables' columns tell them; the rewrites of NUMERIC arithmetic ask for them."""

from collections.abc import Mapping, Sequence

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.schema import MappingSchema

from common.warehouse.columns import Column
from common.warehouse.warehouse import Parameter, TableRef

Schema = Mapping[TableRef, Sequence[Column]]
_MARK = "place"


def infer(tree: exp.Expr, schema: Schema, parameters: Sequence[Parameter]) -> None:
    """Set `type` on the nodes of `tree` whose type is found; the others keep none. Changes nothing else, and never fails."""
    nodes = list(tree.walk())
    for place, node in enumerate(nodes):
        node.meta[_MARK] = place
    copy = tree.copy()
    types = {parameter.name.lower(): google_type(parameter) for parameter in parameters}
    for node in list(copy.find_all(exp.Parameter)):
        if node.name.lower() in types:
            to = exp.DataType.build(types[node.name.lower()], dialect="bigquery")
            node.replace(exp.Cast(this=exp.Null(), to=to))
    try:
        mapping = MappingSchema(_nested(schema), dialect="bigquery")
        qualified = qualify(
            copy,
            schema=mapping,
            dialect="bigquery",
            validate_qualify_columns=False,
            expand_stars=False,
            quote_identifiers=False,
        )
        annotated = annotate_types(qualified, schema=mapping, dialect="bigquery")
    except (SqlglotError, KeyError, ValueError, AttributeError, RecursionError):
        return  # a best effort: without types the rewrites fall back on `typeof`
    for node in annotated.walk():
        mark = node.meta.get(_MARK)
        if mark is not None and node.type is not None and type(nodes[mark]) is type(node):
            nodes[mark].type = node.type.copy()


def google_type(column: Column | Parameter) -> str:
    """The GoogleSQL type of a column or parameter, for example `ARRAY<STRUCT<name STRING, amount FLOAT64>>`."""
    if isinstance(column, Parameter):
        return f"ARRAY<{column.type}>" if column.array else column.type
    name: str = column.type
    if column.type == "RECORD":
        name = f"STRUCT<{', '.join(f'{field.name} {google_type(field)}' for field in column.fields)}>"
    return f"ARRAY<{name}>" if column.mode == "REPEATED" else name


def _nested(schema: Schema) -> dict[str, object]:
    nested: dict[str, dict[str, object]] = {}
    for ref, columns in schema.items():
        nested.setdefault(ref.dataset, {})[ref.table] = {column.name: google_type(column) for column in columns}
    return dict(nested)
