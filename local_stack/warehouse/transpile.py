"""GoogleSQL to DuckDB: one SELECT or DML statement whose tables lie in known datasets, rewritten where sqlglot is silently wrong.

Anything that is not known to mean the same in both (`functions.py`, `rewrites.py`) is refused with Terminal, not guessed at. Remaining
differences: NUMERIC division and AVG are computed in FLOAT64 and rounded to nine digits, identifiers are case-insensitive throughout.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Literal

import sqlglot
from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery  # loaded here: see tests/unit/test_dialects.py
from sqlglot.errors import ErrorLevel, ParseError, SqlglotError

from common.errors import ObjectNotFound, Terminal
from common.templates.keywords import is_bare_keyword
from common.warehouse.columns import Column
from common.warehouse.warehouse import Parameter, Statement, TableRef, Value
from local_stack.warehouse.column_types import DUCKDB
from local_stack.warehouse.duckdb_sql import refuse
from local_stack.warehouse.functions import FUNCTIONS
from local_stack.warehouse.infer import Schema, infer
from local_stack.warehouse.rewrites import rewrite

Kind = Literal["SELECT", "INSERT", "UPDATE", "DELETE", "MERGE"]
Bound = str | bytes | int | float | bool | None | list["Bound"]
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,1023}", re.ASCII)
KEPT_STATEMENTS = 256
"""Translations that are kept: services send the same texts again and again, with other values."""
KINDS: dict[type[exp.Expr], Kind] = {
    exp.Insert: "INSERT",
    exp.Update: "UPDATE",
    exp.Delete: "DELETE",
    exp.Merge: "MERGE",
}
# Parsed, but DuckDB would read them otherwise.
REFUSED: dict[type[exp.Expr], str] = {
    exp.Dot: "A qualified function",
    exp.ForIn: "FOR",
    exp.NetFunc: "NET.*",
    exp.Pivot: "PIVOT",
    exp.Placeholder: "A positional parameter",
    exp.SafeFunc: "SAFE.*",
    exp.SessionParameter: "A system variable",
    exp.TableSample: "TABLESAMPLE",
    exp.Version: "FOR SYSTEM_TIME",
}


@dataclass(frozen=True, slots=True)
class Translation:
    """One statement for DuckDB. `tables` is every table that it names; `values` binds its `$name`s."""

    sql: str
    kind: Kind
    tables: tuple[TableRef, ...]
    values: dict[str, Bound]


def transpile(statement: Statement, *, project: str, schema: Schema | None = None) -> Translation:
    """Translate one statement. `schema`, the columns of the tables it names, makes NUMERIC arithmetic keep its type.

    Raises Terminal for what does not parse, is no SELECT or DML or is not supported here, and ObjectNotFound for a table of a project other
    than `project`.
    """
    declared = tuple(replace(parameter, value=None) for parameter in statement.parameters)
    columns = tuple((ref, tuple(columns)) for ref, columns in (schema or {}).items())
    text = _translated(statement.sql, declared, project, columns)
    values = {parameter.name: bound(parameter) for parameter in statement.parameters if parameter.name in text.used}
    return Translation(text.sql, text.kind, text.tables, values)


@lru_cache(maxsize=KEPT_STATEMENTS)
def tables_of(sql: str, *, project: str) -> tuple[TableRef, ...]:
    """Every table that a statement names. Raises what `transpile` does."""
    tree = _parse(sql)
    _check(tree)
    return _tables(tree, project)


@dataclass(frozen=True, slots=True)
class _Text:
    """A translation without its values; `used` are the names of the parameters that it binds."""

    sql: str
    kind: Kind
    tables: tuple[TableRef, ...]
    used: frozenset[str]


@lru_cache(maxsize=KEPT_STATEMENTS)
def _translated(
    sql: str, parameters: tuple[Parameter, ...], project: str, schema: tuple[tuple[TableRef, tuple[Column, ...]], ...]
) -> _Text:
    """Translate a text. `parameters` are without values, so that a statement that comes again is known again."""
    tree = _parse(sql)
    kind: Kind = "SELECT" if isinstance(tree, exp.Query) else KINDS[type(tree)]
    _check(tree)
    tables = _tables(tree, project)
    infer(tree, dict(schema), parameters)
    if kind == "SELECT":
        _name_columns(tree)
    used = _bind(tree, parameters)
    holder = exp.Paren(this=tree)  # so that every node of the tree has a parent to be replaced in
    rewrite(holder)
    try:
        text = holder.this.sql(dialect="duckdb", identify=True, unsupported_level=ErrorLevel.RAISE)
    except SqlglotError as error:
        raise refuse(str(error).splitlines()[0]) from error
    return _Text(text, kind, tables, used)


def _parse(sql: str) -> exp.Expr:
    try:
        trees = sqlglot.parse(sql, dialect=BigQuery)
    except SqlglotError as error:
        place = f" at line {error.errors[0]['line']}" if isinstance(error, ParseError) and error.errors else ""
        raise Terminal(f"The statement does not parse{place}") from error
    if len(trees) != 1 or trees[0] is None:
        raise Terminal("Exactly one statement is expected")
    tree = trees[0]
    if isinstance(tree, exp.Delete) and tree.args.get("tables"):  # FROM is optional in GoogleSQL
        tree.set("this", tree.args["tables"][0])
        tree.set("tables", None)
    if not isinstance(tree, exp.Query) and type(tree) not in KINDS:
        raise Terminal("Only SELECT, INSERT, UPDATE, DELETE and MERGE are accepted")
    return tree


def _check(tree: exp.Expr) -> None:
    if isinstance(tree, exp.Update | exp.Delete) and not tree.args.get("where"):
        raise Terminal("UPDATE and DELETE must have a WHERE clause")
    for node in tree.walk():
        if isinstance(node, exp.Identifier) and is_bare_keyword(node):
            raise Terminal(f"{node.name} is a reserved keyword of GoogleSQL: as a name it must be in backquotes")
        if type(node) is exp.Dot and not isinstance(node.expression, exp.Func):
            continue
        if type(node) in REFUSED:
            raise refuse(REFUSED[type(node)])
        if isinstance(node, exp.Func) and type(node) not in FUNCTIONS:
            name = node.name if isinstance(node, exp.Anonymous) else node.sql_name()
            raise refuse(f"The function {name.upper()}")
        if isinstance(node, exp.Select) and node.args.get("kind") == "VALUE":
            raise refuse("SELECT AS VALUE")


def _tables(tree: exp.Expr, project: str) -> tuple[TableRef, ...]:
    """Check and normalise every table name in place; our own project is dropped from it."""
    expressions = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    found: dict[TableRef, None] = {}
    for table in tree.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier):
            raise refuse("A table function")
        if not table.db:
            if table.name.lower() not in expressions:
                raise Terminal(f"Table {table.name!r} must be qualified with a dataset")
            continue
        if not (NAME.fullmatch(table.db) and NAME.fullmatch(table.name)):
            raise Terminal(
                f"{table.db}.{table.name} is no name of a table: wildcards and INFORMATION_SCHEMA are not supported"
            )
        if table.catalog and table.catalog != project:
            raise ObjectNotFound(f"No such table: {table.catalog}.{table.db}.{table.name}")
        table.set("catalog", None)
        found[_ref(table)] = None
    for column in tree.find_all(exp.Column):
        if column.catalog == project:
            column.set("catalog", None)
    return tuple(found)


def _ref(table: exp.Expr | None) -> TableRef:
    if not isinstance(table, exp.Table):
        raise Terminal("The statement names no table to write")
    return TableRef(dataset=table.db, table=table.name)


def _name_columns(tree: exp.Expr) -> None:
    """Name columns without a name f0_, f1_ ... as BigQuery does."""
    unnamed = 0
    for selected in list(tree.selects) if isinstance(tree, exp.Query) else []:
        if not isinstance(selected, exp.Alias | exp.Column | exp.Dot) and not selected.is_star:
            selected.replace(exp.alias_(selected.copy(), f"f{unnamed}_"))
            unnamed += 1


def _bind(tree: exp.Expr, parameters: Sequence[Parameter]) -> frozenset[str]:
    """Give each `@name` its type, so that DuckDB need not guess one from the value; the names that there are."""
    declared = {parameter.name.lower(): parameter for parameter in parameters}
    used = set()
    for node in list(tree.find_all(exp.Parameter)):
        parameter = declared.get(node.name.lower())
        if parameter is None:
            raise Terminal(f"Query parameter {node.name!r} is not given")
        if parameter.type == "RECORD":
            raise refuse("A parameter of type RECORD")
        name = DUCKDB[parameter.type] + ("[]" if parameter.array else "")
        typed = exp.Cast(
            this=exp.Parameter(this=exp.var(parameter.name)), to=exp.DataType.build(name, dialect="duckdb")
        )
        node.replace(exp.paren(typed, copy=False) if isinstance(node.parent, exp.Interval) else typed)
        used.add(parameter.name)
    return frozenset(used)


def bound(parameter: Parameter) -> Bound:
    """A parameter's value as DuckDB is given it: text where a Python type would lose digits or the time zone."""
    value = parameter.value
    if not parameter.array:
        return _scalar(value)  # type: ignore[arg-type]  # a scalar, by `array`
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise Terminal(f"Query parameter {parameter.name!r} must be a sequence")
    return [_scalar(element) for element in value]


def _scalar(value: Value) -> Bound:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value
