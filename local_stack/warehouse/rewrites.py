"""Where sqlglot's DuckDB differs from BigQuery without an error: each construct is rewritten here until it agrees, or refused.

A rewrite takes a node of the parsed GoogleSQL and returns what replaces it, in DuckDB's terms. Types decide some of them: a node has
its type where `infer.py` could tell, and `typeof` asks DuckDB for the rest.
"""

from collections.abc import Callable

from sqlglot import exp

from local_stack.warehouse.arrays import bracket, fold, unnest
from local_stack.warehouse.duckdb_sql import cast, duckdb, fill, refuse

Rewrite = Callable[[exp.Expr], exp.Expr]


def rewrite(tree: exp.Expr) -> None:
    """Rewrite every construct under `tree` in place, innermost first. Raises Terminal for what cannot be had."""
    for node in reversed(list(tree.walk())):
        rule = REWRITES.get(type(node))
        if rule is not None and node is not tree:
            replacement = rule(node)
            if replacement is not node:
                node.replace(replacement)


def _is_numeric(node: exp.Expr) -> bool:
    return node.is_type(exp.DType.DECIMAL)


# Casts

_NUMERIC = exp.DataType.build("DECIMAL(38, 9)", dialect="duckdb")
_WHOLE = frozenset({exp.DType.INT, exp.DType.SMALLINT, exp.DType.TINYINT})
_FOREIGN = frozenset({exp.DType.BIGDECIMAL, exp.DType.TIME, exp.DType.INTERVAL, exp.DType.GEOGRAPHY, exp.DType.RANGE})

# BigQuery rounds the exact binary value of a FLOAT64 half away from zero. DuckDB multiplies by 10^9 in floating point first: exact enough
# for the fraction by itself, unless that is near a tie. What is, or is too large, goes through its decimal expansion, which is slow.
_FRACTION = "(CAST(:x AS DOUBLE) - trunc(CAST(:x AS DOUBLE)))"
_FLOAT_TO_NUMERIC = duckdb(
    "CASE WHEN typeof(:x) <> 'DOUBLE' THEN CAST(:x AS DECIMAL(38, 9)) "
    f"WHEN abs(CAST(:x AS DOUBLE)) < 9e15 AND abs(abs({_FRACTION} * 1e9 - trunc({_FRACTION} * 1e9)) - 0.5) > 0.01 "
    f"THEN CAST(CAST(trunc(CAST(:x AS DOUBLE)) AS BIGINT) AS DECIMAL(38, 9)) + CAST({_FRACTION} AS DECIMAL(38, 9)) "
    "ELSE CAST(format('{:.45f}', CAST(:x AS DOUBLE)) AS DECIMAL(38, 9)) END"
)
# DuckDB rounds half to even.
_FLOAT_TO_INT64 = duckdb(
    "CASE typeof(:x) WHEN 'DOUBLE' THEN CAST(round(CAST(:x AS DOUBLE)) AS BIGINT) ELSE CAST(:x AS BIGINT) END"
)
# BigQuery prints 1.5 for NUMERIC 1.500000000, and 2 for FLOAT64 2.0.
_TO_STRING = duckdb(
    "CASE WHEN typeof(:x) LIKE 'DECIMAL%' AND contains(CAST(:x AS TEXT), '.') "
    "THEN rtrim(rtrim(CAST(:x AS TEXT), '0'), '.') "
    "WHEN typeof(:x) = 'DOUBLE' THEN regexp_replace(CAST(:x AS TEXT), '[.]0$', '') "
    "WHEN typeof(:x) = 'BLOB' THEN error('CAST of BYTES AS STRING is not supported by the local warehouse') "
    "ELSE CAST(:x AS TEXT) END"
)
_ONCE = duckdb("list_transform([:x], lambda v: :body)[1]")


def _rewrite_cast(node: exp.Expr) -> exp.Expr:
    value, to = node.this, node.args["to"]
    if node.args.get("format"):
        raise refuse("CAST with FORMAT")
    if isinstance(value, exp.Parameter) or (isinstance(value, exp.Literal) and value.is_string):
        return node
    if to.this == exp.DType.DECIMAL and to == _NUMERIC:
        template = _FLOAT_TO_NUMERIC
        if _is_numeric(value):
            return node
    elif to.this == exp.DType.BIGINT:
        template = _FLOAT_TO_INT64
    elif to.this == exp.DType.TEXT:
        template = _TO_STRING
    else:
        return node
    if isinstance(node, exp.TryCast):
        template = template.copy()
        for inner in list(template.find_all(exp.Cast)):
            if not (isinstance(inner.this, exp.Placeholder) and inner.args["to"].this == exp.DType.DOUBLE):
                inner.replace(exp.TryCast(this=inner.this, to=inner.args["to"]))
    if value.find(exp.Query):  # used several times: compute it once
        body = fill(template, x=exp.column("v"))
        return fill(_ONCE, x=value.copy(), body=body)
    return fill(template, x=value.copy())


def _rewrite_type(node: exp.Expr) -> exp.Expr:
    if node.this in _FOREIGN:
        raise refuse(f"The type {node.sql('bigquery')}")
    if node.this == exp.DType.DECIMAL and not node.expressions:
        return _NUMERIC.copy()
    return exp.DataType.build("BIGINT") if node.this in _WHOLE else node


# Arithmetic

_DIVIDE = duckdb("CASE WHEN :b = 0 THEN error('division by zero') ELSE :a / :b END")
_SAFE_DIVIDE = duckdb("CASE WHEN :b = 0 THEN NULL ELSE :a / :b END")


def _divide(node: exp.Expr) -> exp.Expr:
    template = _SAFE_DIVIDE if isinstance(node, exp.SafeDivide) else _DIVIDE
    quotient = fill(template, a=exp.paren(node.this.copy()), b=exp.paren(node.expression.copy()))
    return cast(quotient, "DECIMAL(38, 9)") if _is_numeric(node) else exp.paren(quotient)


def _keep_numeric(node: exp.Expr) -> exp.Expr:
    """DuckDB widens the scale of a product and averages in DOUBLE; BigQuery stays NUMERIC."""
    return cast(node, "DECIMAL(38, 9)") if _is_numeric(node) and not isinstance(node.parent, exp.Window) else node


def _round(node: exp.Expr) -> exp.Expr:
    if node.args.get("truncate"):
        raise refuse("ROUND with a rounding mode")
    return node


# Strings and JSON

_JSON_GUARD = (
    "CASE WHEN regexp_matches(typeof(:x), 'DECIMAL|TIMESTAMP') "
    "THEN error('JSON of NUMERIC, DATETIME or TIMESTAMP is not supported by the local warehouse: cast it to STRING first') "
)
_TO_JSON = duckdb(_JSON_GUARD + "ELSE to_json(:x) END")
_TO_JSON_STRING = duckdb(_JSON_GUARD + "ELSE coalesce(CAST(to_json(:x) AS TEXT), 'null') END")


def _json(node: exp.Expr) -> exp.Expr:
    if node.args.get("options") or len([a for a in node.args.values() if isinstance(a, exp.Expr)]) > 1:
        raise refuse("TO_JSON_STRING with options")
    if node.this.find(exp.Query):
        body = fill(_TO_JSON if node.args.get("to_json") else _TO_JSON_STRING, x=exp.column("v"))
        return fill(_ONCE, x=node.this.copy(), body=body)
    return fill(_TO_JSON if node.args.get("to_json") else _TO_JSON_STRING, x=node.this.copy())


def _like(node: exp.Expr) -> exp.Expr:
    """In GoogleSQL the backslash escapes % and _; in DuckDB nothing does unless told."""
    pattern = node.expression
    if isinstance(pattern, exp.Literal) and "\\" not in pattern.this:
        return node
    return exp.Escape(this=node.copy(), expression=exp.Literal.string("\\"))


# Dates and times


def _to_date(node: exp.Expr) -> exp.Expr:
    return cast(node, "DATE")


def _to_timestamp(node: exp.Expr) -> exp.Expr:
    return cast(node, "TIMESTAMPTZ")


def _date_trunc(node: exp.Expr) -> exp.Expr:
    if node.this.is_type(exp.DType.TIMESTAMPTZ, exp.DType.TIMESTAMP, exp.DType.DATETIME):
        raise refuse("DATE_TRUNC of a TIMESTAMP or DATETIME")
    return _to_date(node)


def _no_weeks(node: exp.Expr) -> exp.Expr:
    unit = node.args.get("unit")
    if isinstance(unit, exp.WeekStart) or (unit is not None and unit.name.upper() == "WEEK"):
        raise refuse("Truncating a TIMESTAMP or DATETIME to WEEK")
    return node


_ELAPSED = duckdb("datesub(:unit, :start, :stop)")


def _timestamp_diff(node: exp.Expr) -> exp.Expr:
    """BigQuery counts whole units that have passed; DuckDB's DATE_DIFF counts boundaries crossed."""
    unit = exp.Literal.string(node.args["unit"].name)
    return fill(_ELAPSED, unit=unit, start=node.expression.copy(), stop=node.this.copy())


_EXTRACTED = {"ISOWEEK": "WEEK", "ISOYEAR": "ISOYEAR"} | {
    part: part for part in "YEAR QUARTER MONTH DAY DAYOFYEAR HOUR MINUTE SECOND".split()
}


def _extract(node: exp.Expr) -> exp.Expr:
    part = node.this.name.upper()
    if part == "DATE":
        return _to_date(node.expression)
    if part == "DAYOFWEEK":  # 1 is Sunday; DuckDB counts from 0
        return exp.paren(exp.Add(this=node.copy(), expression=exp.Literal.number(1)))
    if part not in _EXTRACTED:
        raise refuse(f"EXTRACT({part} ...)")
    return exp.Extract(this=exp.var(_EXTRACTED[part]), expression=node.expression.copy())


REWRITES: dict[type[exp.Expr], Rewrite] = {
    exp.Avg: _keep_numeric,
    exp.Bracket: bracket,
    exp.Cast: _rewrite_cast,
    exp.DataType: _rewrite_type,
    exp.DateAdd: _to_date,
    exp.DateSub: _to_date,
    exp.DateTrunc: _date_trunc,
    exp.DatetimeTrunc: _no_weeks,
    exp.Div: _divide,
    exp.Extract: _extract,
    exp.JSONFormat: _json,
    exp.Like: _like,
    exp.Mul: _keep_numeric,
    exp.Round: _round,
    exp.SafeDivide: _divide,
    exp.StrToTime: _to_timestamp,
    exp.Subquery: fold,
    exp.TimestampDiff: _timestamp_diff,
    exp.TimestampTrunc: _no_weeks,
    exp.TryCast: _rewrite_cast,
    exp.UnixToTime: _to_timestamp,
    exp.Unnest: unnest,
}
