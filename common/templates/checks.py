"""Data-quality checks, compiled to the SELECTs that `resolved.ResolvedCheck` describes."""

from collections.abc import Callable
from decimal import Decimal

from common.templates.resolved import ResolvedCheck, ResolvedStatement
from common.templates.tables import CHECKED
from common.templates.template import Check, NotNull, Reconcile, RowCount, Unique

SAMPLE_ROWS = 20


def check_name(check: Check) -> str:
    """The name that the template gives, or one made from the type and column."""
    if check.name is not None:
        return check.name
    return f"not_null_{check.column}" if isinstance(check, NotNull) else check.type


def compile_check(check: Check, statement: Callable[[str], ResolvedStatement]) -> ResolvedCheck:
    """Compile one check; `statement` checks a SELECT and binds its parameters."""
    sample: str | None = None
    match check:
        case NotNull(column=column):
            measure = _counted(f"{CHECKED} WHERE `{column}` IS NULL", "COUNT(*)")
            sample = f"SELECT * FROM {CHECKED} WHERE `{column}` IS NULL LIMIT {SAMPLE_ROWS}"
        case Unique(columns=columns):
            key = ", ".join(f"`{column}`" for column in columns)
            doubles = f"FROM {CHECKED} GROUP BY {key} HAVING COUNT(*) > 1"
            measure = _counted(f"(SELECT COUNT(*) AS copies {doubles})", "COALESCE(SUM(copies), 0)")
            sample = f"SELECT {key}, COUNT(*) AS copies {doubles} LIMIT {SAMPLE_ROWS}"
        case RowCount(min=least, max=most):
            bounds = [f"observed >= {least}"] * (least is not None) + [f"observed <= {most}"] * (most is not None)
            expected = " and ".join(bound.removeprefix("observed ") for bound in bounds)
            rows = f"(SELECT COUNT(*) AS observed, '{expected}' AS expected FROM {CHECKED})"
            measure = _compared(rows, " AND ".join(bounds))
        case Reconcile(measure=observed, other=expected, tolerance=tolerance):
            sides = f"(SELECT (SELECT {observed}\nFROM {CHECKED}) AS observed, ({expected}\n) AS expected)"
            measure = _compared(sides, _equal(tolerance))
    return ResolvedCheck(
        name=check_name(check),
        type=check.type,
        severity=check.severity,
        measure=statement(measure),
        sample=statement(sample) if sample is not None else None,
    )


def _counted(failing: str, count: str) -> str:
    """A check that counts the rows that break it."""
    return (
        f"SELECT {count} = 0 AS passed, CAST({count} AS INT64) AS failing_rows, "
        f"CAST(NULL AS STRING) AS observed, CAST(NULL AS STRING) AS expected FROM {failing}"
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
