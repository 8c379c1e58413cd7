"""The statements that write records. Column types come from the table's schema; every value is a bound parameter."""

from collections.abc import Mapping, Sequence

from common.warehouse.warehouse import Parameter, Statement, TableRef, TableSpec, Value

Record = Mapping[str, Value]
"""A row by column name. Columns that it lacks stay NULL."""

_RUN_KEY = ("pipeline_logging_id", "create_time")
"""What finds a run's row; `create_time` is the partition column, so that BigQuery reads one partition."""


def insert_statement(table: TableRef, spec: TableSpec, rows: Sequence[Record]) -> Statement:
    """Insert rows of the same columns."""
    columns = list(rows[0])
    values = ", ".join("(" + ", ".join(f"@{name}_{number}" for name in columns) + ")" for number in range(len(rows)))
    parameters = [
        parameter for number, row in enumerate(rows) for parameter in _parameters(spec, row, suffix=f"_{number}")
    ]
    return Statement(f"INSERT INTO `{table}` ({', '.join(columns)}) VALUES {values}", tuple(parameters))


def begin_statement(table: TableRef, spec: TableSpec, row: Record) -> Statement:
    """Insert a run's row unless it is there."""
    return Statement(f"{_merge(table, row)} {_insert(row)}", _parameters(spec, row))


def end_statement(table: TableRef, spec: TableSpec, row: Record) -> Statement:
    """Bring a run's row to what it is now, or insert it."""
    changes = ", ".join(f"{name} = new.{name}" for name in row if name not in _RUN_KEY)
    return Statement(
        f"{_merge(table, row)} WHEN MATCHED THEN UPDATE SET {changes} {_insert(row)}", _parameters(spec, row)
    )


def _merge(table: TableRef, row: Record) -> str:
    source = ", ".join(f"@{name} AS {name}" for name in row)
    key = " AND ".join(f"run.{name} = @{name}" for name in _RUN_KEY)
    return f"MERGE `{table}` AS run USING (SELECT {source}) AS new ON {key}"


def _insert(row: Record) -> str:
    columns = ", ".join(row)
    return f"WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({', '.join(f'new.{name}' for name in row)})"


def _parameters(spec: TableSpec, row: Record, *, suffix: str = "") -> tuple[Parameter, ...]:
    types = {column.name: column.type for column in spec.columns}
    return tuple(Parameter(name + suffix, types[name], value) for name, value in row.items())
