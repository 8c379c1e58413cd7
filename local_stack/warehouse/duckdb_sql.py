"""What the rewrites are written with: DuckDB's SQL with `:placeholders`, filled with parts of the statement."""

import sqlglot
from sqlglot import exp

from common.errors import Terminal


def refuse(what: str) -> Terminal:
    """The error of what is valid GoogleSQL but not had here."""
    return Terminal(f"{what} is not supported by the local warehouse")


def duckdb(sql: str) -> exp.Expr:
    """Parse an expression or query of DuckDB."""
    return sqlglot.parse_one(sql, dialect="duckdb")


def fill(template: exp.Expr, **values: exp.Expr) -> exp.Expr:
    """A copy of a template with every placeholder replaced by a copy of its value."""
    return exp.replace_placeholders(template, **values)


def cast(node: exp.Expr, to: str) -> exp.Expr:
    """A cast of a copy of `node` to a type of DuckDB."""
    return exp.Cast(this=node.copy(), to=exp.DataType.build(to, dialect="duckdb"))
