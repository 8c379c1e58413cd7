"""The statements that write the row of a run, and the one that looks for the last run."""

from datetime import datetime, timedelta

from common.paging import Place
from common.warehouse.statements import Record, record_parameters
from common.warehouse.warehouse import Parameter, Statement, TableRef, TableSpec
from pipeline_service.run import RunHeader, RunStatus
from pipeline_service.run_filter import RunFilter

_RUN_KEY = ("pipeline_logging_id", "create_time")
"""What finds a run's row; `create_time` is the partition column, so that BigQuery reads one partition."""


def begin_statement(table: TableRef, spec: TableSpec, row: Record) -> Statement:
    """Insert a run's row unless it is there."""
    return Statement(f"{_merge(table, row)} {_insert(row)}", record_parameters(spec, row))


def end_statement(table: TableRef, spec: TableSpec, row: Record, *, unless_ended: bool = False) -> Statement:
    """Bring a run's row to what it is now, or insert it; with `unless_ended` leave one that says already how the run ended."""
    changes = ", ".join(f"{name} = given.{name}" for name in row if name not in _RUN_KEY)
    condition = "AND run.end_time IS NULL " if unless_ended else ""
    return Statement(
        f"{_merge(table, row)} WHEN MATCHED {condition}THEN UPDATE SET {changes} {_insert(row)}",
        record_parameters(spec, row),
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


def billed_statement(steps: TableRef, midnight: datetime) -> Statement:
    """Sum up as `billed` the bytes of the attempts that have ended since then. An attempt takes at most a day and some minutes, so that
    BigQuery reads three partitions."""
    bound = (
        Parameter("since", "TIMESTAMP", midnight - timedelta(days=2)),
        Parameter("midnight", "TIMESTAMP", midnight),
    )
    return Statement(
        f"SELECT COALESCE(SUM(bytes_billed), 0) AS billed FROM `{steps}` "
        "WHERE start_time >= @since AND end_time >= @midnight",
        bound,
    )


def last_of_days_statement(table: TableRef, header: RunHeader, start_date: str, end_date: str) -> Statement:
    """Select the last run of each day, both ends inclusive, of the header's template with at least its parameters."""
    parameters = [
        Parameter("pipeline_id", "STRING", header.pipeline_id),
        Parameter("start_date", "STRING", start_date),
        Parameter("end_date", "STRING", end_date),
    ]
    conditions = ["pipeline_id = @pipeline_id", "JSON_VALUE(parameters, '$.date') BETWEEN @start_date AND @end_date"]
    for number, (name, value) in enumerate(sorted(header.parameters.items())):
        # The names are those of the template's parameters: letters, digits and underscores.
        conditions.append(f"JSON_VALUE(parameters, '$.{name}') = @value_{number}")
        parameters.append(Parameter(f"value_{number}", "STRING", value))
    return Statement(
        "SELECT pipeline_logging_id, status, parameters, JSON_VALUE(parameters, '$.date') AS day "
        f"FROM `{table}` WHERE {' AND '.join(conditions)} QUALIFY ROW_NUMBER() OVER "
        "(PARTITION BY JSON_VALUE(parameters, '$.date') ORDER BY create_time DESC, pipeline_logging_id) = 1",
        tuple(parameters),
    )


def runs_statement(
    table: TableRef, wanted: RunFilter, after: Place | None, limit: int, *, without_backfills: bool = False
) -> Statement:
    """Select the rows of at most `limit` runs, in order, from the one that follows `after`."""
    later, direction = (">", "ASC") if wanted.earliest_first else ("<", "DESC")
    conditions, parameters = ["TRUE"], []
    if without_backfills:
        # They have no steps, while every other run has one: tables of earlier versions have no better sign.
        conditions.append("JSON_VALUE(steps, '$[0].step_id') IS NOT NULL")
    for column in ("provider", "domain", "template_name"):
        if value := getattr(wanted, column):
            conditions.append(f"{column} = @{column}")
            parameters.append(Parameter(column, "STRING", value))
    if wanted.status is not None:
        terminal = wanted.status.is_terminal
        conditions.append("status = @status" if terminal else "status NOT IN UNNEST(@terminal)")
        ended = [status.value for status in RunStatus if status.is_terminal]
        parameters.append(
            Parameter("status", "STRING", wanted.status.value)
            if terminal
            else Parameter("terminal", "STRING", ended, array=True)
        )
    for name, compared, day in (("start_date", ">=", wanted.start_date), ("end_date", "<=", wanted.end_date)):
        if day:
            conditions.append(f"JSON_VALUE(parameters, '$.date') {compared} @{name}")
            parameters.append(Parameter(name, "STRING", day))
    if after is not None:
        # The first comparison bounds the partition column by itself, so that no other partition is read.
        conditions.append(
            f"create_time {later}= @after_time AND (create_time {later} @after_time OR pipeline_logging_id {later} @after_id)"
        )
        parameters.append(Parameter("after_time", "TIMESTAMP", after.time))
        parameters.append(Parameter("after_id", "STRING", after.item_id))
    return Statement(
        f"SELECT * FROM `{table}` WHERE {' AND '.join(conditions)} "
        f"ORDER BY create_time {direction}, pipeline_logging_id {direction} LIMIT {limit}",
        tuple(parameters),
    )


def _merge(table: TableRef, row: Record) -> str:
    source = ", ".join(f"@{name} AS {name}" for name in row)
    key = " AND ".join(f"run.{name} = @{name}" for name in _RUN_KEY)
    return f"MERGE `{table}` AS run USING (SELECT {source}) AS given ON {key}"


def _insert(row: Record) -> str:
    columns = ", ".join(row)
    return f"WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({', '.join(f'given.{name}' for name in row)})"
