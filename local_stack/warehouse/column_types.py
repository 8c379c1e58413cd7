"""The port's column types in DuckDB's terms, and back.

    STRING VARCHAR   INT64 BIGINT      NUMERIC DECIMAL(38,9)   DATE DATE           TIMESTAMP TIMESTAMPTZ   RECORD STRUCT(...)
    BYTES BLOB       FLOAT64 DOUBLE    BOOL BOOLEAN            DATETIME TIMESTAMP  JSON JSON               REPEATED T[]

DuckDB computes in more types than that: every integer is INT64 here. A DECIMAL of 38 digits came from a NUMERIC; a narrower one came
from literals alone, which are FLOAT64 in GoogleSQL.
"""

from typing import Any

import duckdb
from duckdb.sqltypes import DuckDBPyType

from common.errors import Terminal
from common.warehouse.columns import Column, ColumnType

DUCKDB: dict[ColumnType, str] = {
    "STRING": "VARCHAR",
    "BYTES": "BLOB",
    "INT64": "BIGINT",
    "FLOAT64": "DOUBLE",
    "NUMERIC": "DECIMAL(38,9)",
    "BOOL": "BOOLEAN",
    "DATE": "DATE",
    "DATETIME": "TIMESTAMP",
    "TIMESTAMP": "TIMESTAMP WITH TIME ZONE",
    "JSON": "JSON",
}
PORT: dict[str, ColumnType] = (
    {name: column_type for column_type, name in DUCKDB.items()}
    | {
        "FLOAT": "FLOAT64",
        "UUID": "STRING",
        '"NULL"': "INT64",
        "NULL": "INT64",
    }
    | dict.fromkeys("TINYINT SMALLINT INTEGER HUGEINT UTINYINT USMALLINT UINTEGER UBIGINT UHUGEINT".split(), "INT64")
)
NUMERIC_DIGITS = 38


def quote(name: str) -> str:
    """A quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def duckdb_type(column: Column) -> str:
    """The DuckDB type of a column, its mode REPEATED included."""
    if column.type == "RECORD":
        name = f"STRUCT({', '.join(f'{quote(f.name)} {duckdb_type(f)}' for f in column.fields)})"
    else:
        name = DUCKDB[column.type]
    return name + "[]" if column.mode == "REPEATED" else name


def columns_of(relation: duckdb.DuckDBPyRelation) -> tuple[Column, ...]:
    """The columns of a statement's result. Raises Terminal like `column_of`."""
    return tuple(map(column_of, relation.columns, relation.types))


def column_of(name: str, duck_type: DuckDBPyType) -> Column:
    """The column that a DuckDB result column is. Raises Terminal for a type that the port has no name for."""
    if duck_type.id == "list":
        element = column_of(name, _children(duck_type)[0][1])
        if element.mode == "REPEATED":
            raise Terminal(f"Column {name} is an array of arrays, which BigQuery does not have")
        return Column(name=name, type=element.type, mode="REPEATED", fields=element.fields)
    if duck_type.id == "struct":
        return Column(name=name, type="RECORD", fields=tuple(column_of(n, t) for n, t in _children(duck_type)))
    if duck_type.id == "decimal":
        precision = dict(_children(duck_type))["precision"]
        return Column(name=name, type="NUMERIC" if precision == NUMERIC_DIGITS else "FLOAT64")
    column_type = PORT.get(str(duck_type))
    if column_type is None:
        raise Terminal(f"Column {name} has the type {duck_type}, which the local warehouse cannot return")
    return Column(name=name, type=column_type)


def _children(duck_type: DuckDBPyType) -> list[tuple[str, Any]]:
    return duck_type.children
