"""The statements that write the row of a run."""

from common.warehouse.statements import Record, record_parameters
from common.warehouse.warehouse import Statement, TableRef, TableSpec

_RUN_KEY = ("pipeline_logging_id", "create_time")
"""What finds a run's row; `create_time` is the partition column, so that BigQuery reads one partition."""


def begin_statement(table: TableRef, spec: TableSpec, row: Record) -> Statement:
    """Insert a run's row unless it is there."""
    return Statement(f"{_merge(table, row)} {_insert(row)}", record_parameters(spec, row))


def end_statement(table: TableRef, spec: TableSpec, row: Record) -> Statement:
    """Bring a run's row to what it is now, or insert it."""
    changes = ", ".join(f"{name} = new.{name}" for name in row if name not in _RUN_KEY)
    return Statement(
        f"{_merge(table, row)} WHEN MATCHED THEN UPDATE SET {changes} {_insert(row)}", record_parameters(spec, row)
    )


def _merge(table: TableRef, row: Record) -> str:
    source = ", ".join(f"@{name} AS {name}" for name in row)
    key = " AND ".join(f"run.{name} = @{name}" for name in _RUN_KEY)
    return f"MERGE `{table}` AS run USING (SELECT {source}) AS new ON {key}"


def _insert(row: Record) -> str:
    columns = ", ".join(row)
    return f"WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({', '.join(f'new.{name}' for name in row)})"
