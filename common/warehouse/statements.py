"""Statements over whole rows. Column types come from the table's schema; every value is a bound parameter."""

from collections.abc import Iterable, Mapping, Sequence

from common.warehouse.warehouse import Parameter, Statement, TableRef, TableSpec, Value

Record = Mapping[str, Value | Sequence[Value]]
"""A row by column name. Columns that it lacks stay NULL."""


def insert_statement(table: TableRef, spec: TableSpec, rows: Sequence[Record]) -> Statement:
    """Insert rows, each with the columns of the first. An INSERT conflicts with nothing on BigQuery: run it under a job id that cannot
    run twice."""
    columns = list(rows[0])
    values = ", ".join("(" + ", ".join(f"@{name}_{number}" for name in columns) + ")" for number in range(len(rows)))
    parameters = [
        parameter for number, row in enumerate(rows) for parameter in record_parameters(spec, row, suffix=f"_{number}")
    ]
    return Statement(f"INSERT INTO `{table}` ({', '.join(columns)}) VALUES {values}", tuple(parameters))


def record_parameters(spec: TableSpec, row: Record, *, suffix: str = "") -> tuple[Parameter, ...]:
    """The values of a row as parameters of their columns' names and types."""
    columns = {column.name: column for column in spec.columns}
    return tuple(
        Parameter(name + suffix, columns[name].type, value, array=columns[name].mode == "REPEATED")
        for name, value in row.items()
    )


def column_names(parameters: Iterable[Parameter]) -> str:
    """The columns of parameters that are named as theirs, for the list of an INSERT."""
    return ", ".join(parameter.name for parameter in parameters)


def bound_values(parameters: Iterable[Parameter]) -> str:
    """Their values, in the same order."""
    return ", ".join(f"@{parameter.name}" for parameter in parameters)
