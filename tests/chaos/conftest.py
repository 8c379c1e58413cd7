"""An installation on each warehouse; in CI on BigQuery's alone, unless a test says otherwise."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.chaos.installation import Installation, installation
from tests.chaos.sizes import FULL
from tests.stubs.bigquery import BigQueryStub, connect
from tests.unit.pipeline_service.conftest import lab  # noqa: F401


@pytest.fixture(params=["bigquery", "local"] if FULL else ["bigquery"])
async def place(request: pytest.FixtureRequest, temporal_address: str, tmp_path: Path) -> AsyncIterator[Installation]:
    if request.param == "bigquery":
        stub: BigQueryStub = request.getfixturevalue("stub")
        server, warehouse = stub, connect(stub.address)
    else:
        server = request.getfixturevalue("local_server")
        warehouse = server.connect()
    async with installation(tmp_path, warehouse, server, temporal_address) as running:
        yield running
    await warehouse.close()
