"""The rewrites of arrays: UNNEST as a table, subscripts, and aggregates over the elements of one array."""

from collections.abc import Sequence

from sqlglot import exp

from local_stack.warehouse.duckdb_sql import duckdb, fill, refuse

_FIELDS = duckdb("SELECT unnest(:x, max_depth := 2)")
_NUMBERED = duckdb(
    'SELECT "_element" AS :element, "_position" - 1 AS :position FROM unnest(:x) WITH ORDINALITY AS _u("_element", "_position")'
)
_ELEMENT = "_element"
_FILTERED = duckdb(f"list_filter(:x, lambda {_ELEMENT}: :condition)")
_MAPPED = duckdb(f"list_transform(:x, lambda {_ELEMENT}: :value)")
_SORTED = duckdb("list_transform(list_sort(:x), lambda _keyed: _keyed.value)")
_AGGREGATED = duckdb("list_aggregate(:x, :name)")
_JOINED = duckdb("list_aggregate(:x, 'string_agg', :separator)")
_FOLDS: dict[type[exp.Expr], str] = {exp.Max: "max", exp.Min: "min", exp.Sum: "sum", exp.GroupConcat: "string_agg"}
_NOT_VALUES = (exp.From, exp.Join, exp.In, exp.SetOperation, exp.Lateral, exp.CTE, exp.Exists)


def unnest(node: exp.Expr) -> exp.Expr:
    """Offsets count from 0, and without an alias the fields of the elements are the columns."""
    if isinstance(node.parent, exp.In):
        return node
    if len(node.expressions) != 1:
        raise refuse("UNNEST of several arrays")
    array, alias, offset = node.expressions[0], node.args.get("alias"), node.args.get("offset")
    columns = alias.args.get("columns") if alias else None
    if not columns and not offset:
        return exp.Subquery(this=fill(_FIELDS, x=array), alias=alias.copy() if alias else None)
    if not offset:
        return node
    element = columns[0] if columns else exp.to_identifier("_element")
    position = offset if isinstance(offset, exp.Identifier) else exp.to_identifier("offset")
    select = fill(_NUMBERED, x=array, element=element, position=position)
    return exp.Subquery(this=select, alias=exp.TableAlias(this=exp.to_identifier(f"_{element.name}_{position.name}")))


def bracket(node: exp.Expr) -> exp.Expr:
    """Which element a bare subscript means depends on the type of what it is applied to."""
    if node.args.get("offset") is None and not isinstance(node.this, exp.JSONExtract):
        raise refuse("A subscript without OFFSET, ORDINAL or their SAFE_ forms")
    return node


def fold(node: exp.Expr) -> exp.Expr:
    """`(SELECT SUM(c.amount) FROM UNNEST(credits) AS c)` by list functions. Right as it stands, but DuckDB joins for every subquery: for
    a million rows that takes seconds, and this a hundredth of them."""
    select = node.this
    if isinstance(node.parent, _NOT_VALUES) or not isinstance(select, exp.Select) or len(select.expressions) != 1:
        return node
    source = select.args["from_"].this if select.args.get("from_") else None
    clauses = {name for name, value in select.args.items() if value}
    if not isinstance(source, exp.Unnest) or clauses - {"expressions", "from_", "where"}:
        return node
    aggregate = select.expressions[0].unalias()
    if type(aggregate) not in _FOLDS or aggregate.find(exp.Distinct, exp.Limit, exp.HavingMax):
        return node
    if any(query is not select for query in select.find_all(exp.Query)):
        return node
    return _folded(select, aggregate, source) or node


def _folded(select: exp.Select, aggregate: exp.Expr, source: exp.Unnest) -> exp.Expr | None:
    alias, elements = source.args["alias"].columns[0].name, source.expressions[0]
    where = select.args.get("where")
    if where:
        elements = fill(_FILTERED, x=elements, condition=_of_element(where.this, alias))
    value: exp.Expr = aggregate.this
    order: list[exp.Expr] = []
    if isinstance(value, exp.Order):
        value, order = value.this, value.expressions
    if any(key.args.get("desc") or not key.args.get("nulls_first") for key in order):
        return None
    if order:
        keyed = _keyed([_of_element(key.this, alias) for key in order], _of_element(value, alias))
        elements = fill(_SORTED, x=fill(_MAPPED, x=elements, value=keyed))
    else:
        elements = fill(_MAPPED, x=elements, value=_of_element(value, alias))
    if isinstance(aggregate, exp.GroupConcat):
        return fill(_JOINED, x=elements, separator=aggregate.args.get("separator") or exp.Literal.string(","))
    return fill(_AGGREGATED, x=elements, name=exp.Literal.string(_FOLDS[type(aggregate)]))


def _keyed(keys: Sequence[exp.Expr], value: exp.Expr) -> exp.Expr:
    """A struct that sorts as the keys do, NULL first. Structs compare field by field, but with NULL last."""
    fields = "".join(f"'given{i}': :key{i} IS NOT NULL, 'key{i}': :key{i}, " for i in range(len(keys)))
    return fill(duckdb(f"{{{fields}'value': :value}}"), value=value, **{f"key{i}": key for i, key in enumerate(keys)})


def _of_element(node: exp.Expr, alias: str) -> exp.Expr:
    """A copy of `node` in which the name of the unnested element is the lambda's."""
    holder = exp.Paren(this=node.copy())
    for column in list(holder.find_all(exp.Column)):
        if column.parts[0].name.lower() == alias.lower():
            column.parts[0].replace(exp.to_identifier(_ELEMENT))
    inner: exp.Expr = holder.this
    return inner
