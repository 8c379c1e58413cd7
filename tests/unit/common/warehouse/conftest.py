"""A stub of BigQuery for one test, so that the faults it is told of reach no other."""

from collections.abc import AsyncIterator, Iterator

import pytest

from common.warehouse.bigquery import BigQueryWarehouse
from common.warehouse.columns import Column
from common.warehouse.warehouse import TableRef, TableSpec
from tests.stubs.bigquery import LOCATION, BigQueryStub, connect

DATASET = "acme"
TABLE = TableRef(DATASET, "things")


@pytest.fixture
def stub() -> Iterator[BigQueryStub]:
    server = BigQueryStub()
    yield server
    server.close()


@pytest.fixture
async def warehouse(stub: BigQueryStub) -> AsyncIterator[BigQueryWarehouse]:
    """A warehouse with the empty table `TABLE`."""
    adapter = connect(stub.address, deadline_seconds=4.0)
    await adapter.create_dataset(DATASET, location=LOCATION, labels={})
    await adapter.create_table(TABLE, TableSpec((Column("id", "INT64"),)))
    stub.requests.clear()
    yield adapter
    await adapter.close()
