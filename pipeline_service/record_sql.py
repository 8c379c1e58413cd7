"""The statements that write the row of a run, and the one that looks for the last run."""

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


def last_rows_sql(runs: TableRef, steps: TableRef) -> str:
    """Select `rows_staged` of a step in the last run to which `@pipeline_id`, `@step_id`, `@since` and `@day` lead: where a day is given,
    of runs that replaced another one."""
    return (
        f"SELECT step.rows_staged AS rows_staged FROM `{steps}` AS step JOIN `{runs}` AS run "
        "ON run.pipeline_logging_id = step.pipeline_logging_id "
        "WHERE run.pipeline_id = @pipeline_id AND run.status = 'COMPLETE' AND run.create_time >= @since "
        "AND step.step_id = @step_id AND step.status = 'COMPLETE' AND step.start_time >= @since AND step.rows_staged > 0 "
        "AND IF(@day IS NULL, step.destination_partition IS NULL, step.destination_partition != @day) "
        "ORDER BY run.end_time DESC, run.pipeline_logging_id LIMIT 1"
    )


def _merge(table: TableRef, row: Record) -> str:
    source = ", ".join(f"@{name} AS {name}" for name in row)
    key = " AND ".join(f"run.{name} = @{name}" for name in _RUN_KEY)
    return f"MERGE `{table}` AS run USING (SELECT {source}) AS new ON {key}"


def _insert(row: Record) -> str:
    columns = ", ".join(row)
    return f"WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({', '.join(f'new.{name}' for name in row)})"
