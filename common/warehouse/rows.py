"""Few rows: read whole, and what stands in their columns."""

from datetime import datetime

from common.warehouse.warehouse import Row, Statement, Warehouse


async def read_rows(warehouse: Warehouse, statement: Statement, *, timeout_seconds: float = 60.0) -> list[Row]:
    """All rows of a SELECT that bounds how many there are. Raises Transient, Terminal."""
    stream = await warehouse.read(statement, timeout_seconds=timeout_seconds)
    try:
        return [row async for page in stream for row in page]
    finally:
        await stream.close()


def text_in(row: Row, column: str) -> str:
    """A STRING of a row; "" where it is NULL, or the table too old to have the column."""
    return str(row.get(column) or "")


def time_in(row: Row, column: str) -> datetime | None:
    """A TIMESTAMP of a row, aware, in UTC; None where it is NULL, or the table too old to have the column."""
    value = row.get(column)
    return value if isinstance(value, datetime) else None


def required_time_in(row: Row, column: str) -> datetime:
    """A TIMESTAMP of a REQUIRED column."""
    value = row[column]
    if not isinstance(value, datetime):
        raise TypeError(f"{column} is no time")
    return value
