"""What a SELECT may touch: the tenant's own published tables and the sources that it was granted.

Checked when a template loads (shape), when a request is resolved (reach) and by the worker before each step (reach, again).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from sqlglot import exp

from common.errors import TableNotAllowed, Violation
from common.templates.grammar import parse_condition, parse_scalar, parse_select
from common.templates.placeholders import TextRefused
from common.warehouse.warehouse import TableRef

METADATA_TABLES = frozenset(
    {"api_keys", "cloud_credentials", "pipeline_runs", "step_logs", "dq_results", "audit_log", "tenant_settings"}
)
STAGE_PREFIX = "_stage_"
CHECKED = "checked"
"""What a check calls the rows that it checks; see `resolved.ResolvedCheck`."""

_PROJECT = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", re.ASCII)
_DATASET = re.compile(r"[A-Za-z0-9_]{1,1024}", re.ASCII)
_TABLE = re.compile(r"[A-Za-z0-9_-]{1,1024}", re.ASCII)


class TableRefused(TextRefused):
    """A SELECT names a table that no template may read."""


@dataclass(frozen=True, slots=True)
class Reads:
    """What a SELECT reads: its tables without repetition, and the query parameters that it names. `columns` are those that it yields;
    None where that depends on a table (`*`)."""

    tables: tuple[TableRef, ...]
    parameters: frozenset[str]
    columns: frozenset[str] | None


@lru_cache(maxsize=4096)
def analyse(sql: str, *, of_check: bool = False) -> Reads:
    """Check one SELECT and collect what it reads. With `of_check` it may also read `checked`. Raises TextRefused.

    The same text always has the same outcome, and a tenant's texts do not change from run to run: hence the cache.
    """
    return _reads(parse_select(sql), of_check=of_check)


@lru_cache(maxsize=4096)
def analyse_scalar(sql: str, *, aggregate: bool) -> Reads:
    """As `analyse`, for a check's SELECT of one value or, with `aggregate`, its expression over `checked`. Raises TextRefused."""
    return _reads(parse_scalar(sql, aggregate_of=CHECKED if aggregate else None), of_check=True)


@lru_cache(maxsize=4096)
def analyse_condition(sql: str) -> Reads:
    """As `analyse`, for a check's condition on one row of `checked`. Raises TextRefused."""
    return _reads(parse_condition(sql, of=CHECKED), of_check=True)


@lru_cache(maxsize=4096)
def columns_named(sql: str) -> frozenset[str]:
    """The columns of `checked` that a condition names, but for those inside its subqueries, which may be of other tables. Raises
    TextRefused."""
    query = parse_condition(sql, of=CHECKED)
    paths = [
        [part.name for part in column.parts] for column in query.find_all(exp.Column) if column.parent_select is query
    ]
    return frozenset(path[1] if path[0] == CHECKED and len(path) > 1 else path[0] for path in paths)


def check_tables(tables: Iterable[TableRef], tenant_id: str, sources: Mapping[str, TableRef]) -> None:
    """Require every table to lie in the tenant's dataset or among its granted sources. Raises TableNotAllowed, naming each that does not.

    Metadata and staging tables are refused wherever they lie, so that a grant given by mistake does not open them.
    """
    refused = sorted({str(table) for table in tables if not may_read(table, tenant_id, sources)})
    if refused:
        raise TableNotAllowed([Violation("template", f"the table {table} is out of reach") for table in refused])


def may_read(table: TableRef, tenant_id: str, sources: Mapping[str, TableRef]) -> bool:
    """Whether the tenant's templates may read the table."""
    if name_problem(table) is not None:
        return False
    own = table.project is None and table.dataset == tenant_id
    return own or table in sources.values()


def name_problem(table: TableRef) -> str | None:
    """Why a table can be read or written by no template, whoever it belongs to; None where it can.

    Compared without case, since DuckDB finds a table by a name in any.
    """
    well_formed = _DATASET.fullmatch(table.dataset) and _TABLE.fullmatch(table.table)
    if not well_formed or (table.project is not None and not _PROJECT.fullmatch(table.project)):
        return "wildcards, decorators and names out of the ordinary are not allowed"
    name = table.table.lower()
    if name in METADATA_TABLES or name.startswith((STAGE_PREFIX, "__")):
        return "metadata and staging tables are not allowed"
    if "information_schema" in (name, table.dataset.lower()):
        return "INFORMATION_SCHEMA is not allowed"
    return None


def _reads(query: exp.Query, *, of_check: bool) -> Reads:
    tables: dict[TableRef, None] = {}
    for node in query.find_all(exp.Table):
        if (table := _table(node, of_check=of_check)) is not None:
            tables[table] = None
    parameters = frozenset(node.name for node in query.find_all(exp.Parameter))
    return Reads(tuple(tables), parameters, None if query.is_star else frozenset(query.named_selects))


def _table(node: exp.Table, *, of_check: bool) -> TableRef | None:
    """The table that a node names; None for a common table expression."""
    if not all(isinstance(node.args.get(part), exp.Identifier | None) for part in ("this", "db", "catalog")):
        raise TableRefused("table functions and paths of more than three parts are not allowed")
    line = int(node.this.meta.get("line") or 1) - 1
    if not node.db:
        if node.name in _visible_ctes(node) or (of_check and node.name == CHECKED):
            return None
        raise TableRefused(f"the table {node.name} needs its dataset: `{{tenant_id}}.{node.name}` or a source", line)
    table = TableRef(node.db, node.name, node.catalog or None)
    if (problem := name_problem(table)) is not None:
        raise TableRefused(f"the table {table}: {problem}", line)
    return table


def _visible_ctes(node: exp.Expr) -> frozenset[str]:
    """Names of the common table expressions that `node` can see: those of every query around it, and of these, inside a WITH that is not
    recursive, only the ones before the expression that `node` stands in."""
    names: set[str] = set()
    inside: exp.Expr = node
    around = node.parent
    while around is not None:
        with_ = around.args.get("with_")
        if with_ is not None and with_ is not inside:
            names.update(cte.alias for cte in with_.expressions)
        if isinstance(around, exp.With):
            earlier = around.expressions if around.args.get("recursive") else around.expressions[: inside.index]
            names.update(cte.alias for cte in earlier)
        inside, around = around, around.parent
    return frozenset(names)
