"""Selecting days of a table in SQL, so that BigQuery prunes partitions."""

from datetime import date, timedelta

from common.warehouse.warehouse import TableSpec


def days_between(spec: TableSpec, column: str, first: date | None, last: date | None) -> str:
    """A condition on the days of `column`, a DATE or TIMESTAMP, both ends inclusive and optional; TRUE without either.

    The column stands alone on its side: BigQuery prunes no partition by a function of it. The literals come from dates, so nothing in
    them can be injected.
    """
    column_type = next((c.type for c in spec.columns if c.name == column), "DATE")
    conditions = []
    if first is not None:
        conditions.append(f"`{column}` >= {_literal(column_type, first)}")
    if last is not None and last < date.max:
        conditions.append(f"`{column}` < {_literal(column_type, last + timedelta(days=1))}")
    return " AND ".join(conditions) or "TRUE"


def _literal(column_type: str, day: date) -> str:
    return f"TIMESTAMP '{day.isoformat()} 00:00:00+00'" if column_type == "TIMESTAMP" else f"DATE '{day.isoformat()}'"
