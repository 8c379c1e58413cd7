"""Both adapters of the warehouse port: the local one against the local server, BigQuery's through the official client against the stub.

One server of each per test session; every test has a dataset of its own.
"""

import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from common.secret import Secret
from common.warehouse.local import LocalWarehouse
from common.warehouse.warehouse import Warehouse
from tests.stubs.bigquery import LOCATION, BigQueryStub
from tests.stubs.bigquery import connect as bigquery

Connect = Callable[[], Warehouse]


@pytest.fixture(scope="session")
def local_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a local warehouse server, and the file that holds its token."""
    folder = tmp_path_factory.mktemp("warehouse")
    token_file = folder / "token"
    token_file.write_text("contract-token")
    token_file.chmod(0o600)
    command = [sys.executable, "-m", "local_stack.warehouse", "--data-dir", str(folder / "data")]
    command += ["--port", "0", "--token-file", str(token_file)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line.startswith("listening on "), (folder / "log").read_text()
        yield line.removeprefix("listening on ").strip(), token_file
    finally:
        server.terminate()
        server.communicate(timeout=30)


@pytest.fixture(scope="session")
def stub() -> Iterator[BigQueryStub]:
    server = BigQueryStub()
    yield server
    server.close()


@pytest.fixture(params=["local", "bigquery"])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    """Makes adapters to one warehouse, each with connections of its own, as another process has."""
    made: list[Warehouse] = []
    if request.param == "local":
        address, token_file = request.getfixturevalue("local_server")

        def new() -> Warehouse:
            made.append(LocalWarehouse(address, token=Secret(token_file.read_text())))
            return made[-1]
    else:
        stub: BigQueryStub = request.getfixturevalue("stub")

        def new() -> Warehouse:
            made.append(bigquery(stub.address))
            return made[-1]

    yield new
    for warehouse in made:
        await warehouse.close()


@pytest.fixture
def warehouse(connect: Connect) -> Warehouse:
    return connect()


@pytest.fixture
async def dataset(warehouse: Warehouse) -> str:
    """A new dataset's name."""
    name = f"t_{uuid.uuid4().hex[:16]}"
    await warehouse.create_dataset(name, location=LOCATION, labels={})
    return name
