"""Data-quality checks, compiled to the SELECTs that `resolved.ResolvedCheck` describes.

Values that a template compares with are bound as parameters, under names of their own: no SELECT has both those and a template's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from common.decimal_text import decimal_text
from common.templates.check_specs import (
    AcceptedValues,
    Check,
    Expression,
    Freshness,
    NotNull,
    Range,
    Reconcile,
    Relationships,
    RowCount,
    Unique,
)
from common.templates.placeholders import TextRefused
from common.templates.resolved import CREATE_TIME, LAST_ROWS, RUN_VALUES, ResolvedCheck, ResolvedStatement
from common.templates.tables import CHECKED, TableRefused, columns_named, name_problem
from common.warehouse.warehouse import Parameter, TableRef, Value

SAMPLE_ROWS = 20
_MAX_EXPECTED = 200
"""Characters of a list of accepted values in a result."""


class CheckStatement(Protocol):
    """Checks a SELECT of a check and binds its parameters: the template's, and those that are the check's own."""

    def __call__(self, sql: str, own: Sequence[Parameter] = ()) -> ResolvedStatement: ...


def check_name(check: Check) -> str:
    """The name that the template gives, or one made from the type and column."""
    if check.name is not None:
        return check.name
    match check:
        case NotNull() | AcceptedValues() | Range() | Freshness() | Relationships():
            return f"{check.type}_{check.column}"
        case _:
            return check.type


def columns_of(check: Check) -> Iterator[tuple[str, str]]:
    """The columns that a check names of the rows that it checks, each with the key under which it does."""
    match check:
        case NotNull() | AcceptedValues() | Range() | Freshness() | Relationships():
            yield check.column, "column"
        case Unique():
            yield from ((column, "columns") for column in check.columns)
        case Expression():
            yield from ((column, "sql") for column in sorted(columns_named(check.sql)))


def compile_check(check: Check, statement: CheckStatement, *, tenant_id: str) -> ResolvedCheck:
    """Compile one check. Raises TextRefused for a table that `relationships` cannot read."""
    sql = _sql(check, tenant_id)
    return ResolvedCheck(
        name=check_name(check),
        type=check.type,
        severity=check.severity,
        measure=statement(sql.measure, sql.own),
        sample=statement(sql.sample, sql.own) if sql.sample is not None else None,
        run_values=tuple(name for name in RUN_VALUES if name in {parameter.name for parameter in sql.own}),
    )


@dataclass(frozen=True, slots=True)
class _Sql:
    """The SELECTs of a check, and the parameters that are its own: NULL where only a run can give the value."""

    measure: str
    sample: str | None = None
    own: tuple[Parameter, ...] = ()


def _sql(check: Check, tenant_id: str) -> _Sql:
    match check:
        case NotNull(column=column):
            return _broken(f"{CHECKED} WHERE `{column}` IS NULL")
        case Unique(columns=columns):
            key = ", ".join(f"`{column}`" for column in columns)
            doubles = f"FROM {CHECKED} GROUP BY {key} HAVING COUNT(*) > 1"
            return _Sql(
                _counted(f"(SELECT COUNT(*) AS copies {doubles})", "COALESCE(SUM(copies), 0)"),
                f"SELECT {key}, COUNT(*) AS copies {doubles} LIMIT {SAMPLE_ROWS}",
            )
        case AcceptedValues(column=column, values=values):
            return _accepted(column, values)
        case Range():
            return _range(check)
        case RowCount():
            return _row_count(check)
        case Freshness(column=column, max_age=max_age):
            return _freshness(column, int(max_age))
        case Reconcile(measure=observed, other=expected, tolerance=tolerance):
            sides = f"(SELECT (SELECT {observed}\nFROM {CHECKED}) AS observed, ({expected}\n) AS expected)"
            return _Sql(_compared(sides, _equal(tolerance)))
        case Relationships(column=column, to=to, field=field):
            parent = _related(to, tenant_id)
            found = f"SELECT 1 FROM `{parent}` AS _parent WHERE _parent.`{field}` = _child.`{column}`"
            return _broken(
                f"{CHECKED} AS _child WHERE _child.`{column}` IS NOT NULL AND NOT EXISTS ({found})",
                expected=f"a value of {field} in {parent.table}",
            )
        case Expression(sql=condition):
            return _broken(f"{CHECKED} WHERE NOT COALESCE(({condition}\n), FALSE)")


def _accepted(column: str, values: Sequence[Value]) -> _Sql:
    own = [_parameter(f"value_{number}", value) for number, value in enumerate(values)]
    among = ", ".join(f"@{parameter.name}" for parameter in own)
    listed = ", ".join(map(str, values))
    shown = listed if len(listed) <= _MAX_EXPECTED else f"{listed[:_MAX_EXPECTED]}..."
    return _broken(f"{CHECKED} WHERE `{column}` NOT IN ({among})", own, expected=f"one of {shown}")


def _range(check: Range) -> _Sql:
    """Days and times are compared as moments. Infinity is the greatest number, and DuckDB's NaN greater still: BigQuery's is neither."""
    value = f"CAST(`{check.column}` AS TIMESTAMP)" if check.of_time else f"`{check.column}`"
    inside = [] if check.of_time else [f"CAST({value} AS FLOAT64) <= CAST('inf' AS FLOAT64)"]
    own, expected = [], []
    for name, sign, bound in (("least", ">=", check.min), ("most", "<=", check.max)):
        if bound is not None:
            inside.append(f"{value} {sign} @{name}")
            own.append(_parameter(name, bound))
            expected.append(f"{sign} {_shown(bound)}")
    broken = f"{CHECKED} WHERE `{check.column}` IS NOT NULL AND NOT ({' AND '.join(inside)})"
    return _broken(broken, own, expected=" and ".join(expected))


def _row_count(check: RowCount) -> _Sql:
    passed, expected = [], []
    for sign, bound in ((">=", check.min), ("<=", check.max)):
        if bound is not None:
            passed.append(f"observed {sign} {bound}")
            expected.append(f"'{sign} {bound}'")
    if check.max_change is not None:
        passed.append(
            f"(@{LAST_ROWS} IS NULL OR ABS(observed - @{LAST_ROWS}) <= NUMERIC '{check.max_change:f}' * @{LAST_ROWS})"
        )
        within = f"CONCAT('within {_shown(check.max_change * 100)}% of the last run: ', CAST(@{LAST_ROWS} AS STRING))"
        expected.append(f"IF(@{LAST_ROWS} IS NULL, 'no earlier run to compare with', {within})")
    text = expected[0] if len(expected) == 1 else "CONCAT(" + ", ' and ', ".join(expected) + ")"
    rows = f"(SELECT COUNT(*) AS observed, {text} AS expected FROM {CHECKED})"
    measure = _compared(rows, " AND ".join(passed))
    return _Sql(measure) if check.max_change is None else _Sql(measure, own=(Parameter(LAST_ROWS, "INT64", None),))


def _freshness(column: str, max_age_seconds: int) -> _Sql:
    oldest = f"TIMESTAMP_SUB(@{CREATE_TIME}, INTERVAL {max_age_seconds} SECOND)"
    sides = f"(SELECT CAST(MAX(`{column}`) AS TIMESTAMP) AS newest, {oldest} AS oldest FROM {CHECKED})"
    return _Sql(
        "SELECT COALESCE(newest >= oldest, FALSE) AS passed, CAST(0 AS INT64) AS failing_rows, "
        "COALESCE(CAST(newest AS STRING), 'no value') AS observed, "
        f"CONCAT('>= ', CAST(oldest AS STRING)) AS expected FROM {sides} AS sides",
        own=(Parameter(CREATE_TIME, "TIMESTAMP", None),),
    )


def _related(to: str, tenant_id: str) -> TableRef:
    """The table that a name means. Raises TableRefused: it is about to become part of a SELECT."""
    try:
        table = TableRef.parse(to) if "." in to else TableRef(tenant_id, to)
    except ValueError:
        raise TextRefused("must be the name of a table of the tenant, or a source") from None
    if (problem := name_problem(table)) is not None:
        raise TableRefused(f"the table {table}: {problem}")
    return table


def _broken(failing: str, own: Sequence[Parameter] = (), *, expected: str | None = None) -> _Sql:
    """A check of rows by themselves; `failing` are those that break it, from FROM on."""
    sample = f"SELECT * FROM {failing} LIMIT {SAMPLE_ROWS}"
    if expected is None:
        return _Sql(_counted(failing), sample, tuple(own))
    return _Sql(_counted(failing, expected="@expected"), sample, (*own, Parameter("expected", "STRING", expected)))


def _counted(failing: str, count: str = "COUNT(*)", *, expected: str = "CAST(NULL AS STRING)") -> str:
    """A check that counts the rows that break it."""
    return (
        f"SELECT {count} = 0 AS passed, CAST({count} AS INT64) AS failing_rows, "
        f"CAST(NULL AS STRING) AS observed, {expected} AS expected FROM {failing}"
    )


def _compared(sides: str, passed: str) -> str:
    """A check that compares `observed` with `expected`, the columns of `sides`."""
    return (
        f"SELECT {passed} AS passed, CAST(0 AS INT64) AS failing_rows, "
        f"CAST(observed AS STRING) AS observed, CAST(expected AS STRING) AS expected FROM {sides} AS sides"
    )


def _equal(tolerance: Decimal) -> str:
    if not tolerance:
        return "observed IS NOT DISTINCT FROM expected"
    near = f"ABS(observed - expected) <= NUMERIC '{tolerance:f}'"
    return f"COALESCE({near}, observed IS NULL AND expected IS NULL)"


def _parameter(name: str, value: Value) -> Parameter:
    """A value as the warehouse is given it."""
    match value:
        case bool():
            return Parameter(name, "BOOL", value)
        case str():
            return Parameter(name, "STRING", value)
        case int():
            return Parameter(name, "INT64", value)
        case Decimal():
            return Parameter(name, "NUMERIC", value)
        case datetime():
            return Parameter(name, "TIMESTAMP", value)
        case _:
            return Parameter(name, "DATE", value)


def _shown(value: int | Decimal | datetime) -> str:
    """A number without an exponent and needless zeros; a moment as ISO 8601 writes it."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return decimal_text(value) if isinstance(value, Decimal) else str(value)
