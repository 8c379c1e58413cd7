"""A stub of BigQuery's REST API that follows Google's documentation, for the official client to talk to.

It serves what the adapter uses: datasets, tables, tabledata.list and jobs. SQL runs in an in-memory DuckDB through the local warehouse's
transpiler. Faults are injected through `BigQueryStub.faults`.
"""

from tests.stubs.bigquery.connect import LOCATION, connect
from tests.stubs.bigquery.server import BigQueryStub

__all__ = ["LOCATION", "BigQueryStub", "connect"]
