"""Rows from outside into the local warehouse: sample data and tests. Production loads through BigQuery's own ways."""

import contextlib

import pyarrow as pa

from common.secret import Secret
from common.warehouse import local_wire
from common.warehouse.local_flight import FlightConnection
from common.warehouse.warehouse import TableRef, TableSpec

DEADLINE_SECONDS = 120.0


def upload(
    address: str,
    token: Secret,
    ref: TableRef,
    spec: TableSpec,
    batches: pa.RecordBatchReader,
    *,
    deadline_seconds: float = DEADLINE_SECONDS,
) -> None:
    """Replace a table by `batches`, or make it of them, atomically; its dataset must exist.

    Columns are matched by name. Lists and structs become REPEATED and RECORD columns, timestamps must carry a time zone, NUMERIC is a
    decimal, JSON its text. Raises WarehouseErrors.
    """
    with contextlib.closing(FlightConnection(address, token)) as connection:
        connection.put(local_wire.Upload(ref, spec), batches, deadline_seconds=deadline_seconds)
