"""The warehouses that tests run on: the local server in a process of its own, and the stub of BigQuery's REST API."""

import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from common.secret import Secret
from common.warehouse.local import LocalWarehouse
from common.warehouse.warehouse import Warehouse
from tests.stubs.bigquery import BigQueryStub
from tests.stubs.bigquery import connect as bigquery

Connect = Callable[[], Warehouse]
BUCKET = "files-of-the-tests"
KINDS = ("local", "bigquery")


@dataclass(frozen=True)
class Place:
    """Where a warehouse loads files from: what their uris start with, and the folder in which they lie."""

    uri: str
    folder: Path

    def write(self, path: str, content: bytes | str) -> str:
        """Put a file there, and say its uri."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return f"{self.uri}/{path}"


class LocalServer:
    """`python -m local_stack.warehouse` on one folder and, once started, one port, which outlive its process. It loads what lies below
    `files`."""

    def __init__(self, folder: Path) -> None:
        self.address = "127.0.0.1:0"
        self.token = Secret("token-of-the-tests")
        self.files = folder / "files"
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start, and return once it serves."""
        token_file = self._folder / "token"
        token_file.touch(mode=0o600)
        token_file.write_text(self.token.reveal())
        command = [sys.executable, "-m", "local_stack.warehouse", "--data-dir", str(self._folder / "data")]
        self.files.mkdir(exist_ok=True)
        command += ["--load-dir", str(self.files)]
        command += ["--port", self.address.partition(":")[2], "--token-file", str(token_file)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith("listening on "), (self._folder / "log").read_text()
        self.address = line.removeprefix("listening on ").strip()

    def connect(self) -> LocalWarehouse:
        """A new adapter with connections of its own."""
        return LocalWarehouse(self.address, self.token)

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.kill()
        self.stop()

    def hang(self) -> None:
        """Take calls and answer none, until `go_on`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Answer again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End the process, if it runs."""
        if self._process is not None:
            self._process.terminate()
            self._process.send_signal(signal.SIGCONT)
            self._process.communicate(timeout=30)
            self._process = None


@pytest.fixture(scope="session")
def local_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A server that all tests of this process share: every test has datasets of its own."""
    server = LocalServer(tmp_path_factory.mktemp("warehouse"))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BigQueryStub]:
    """A stub that all tests of this process share, and one bucket. Its tenants become hundreds, which every service lists every second:
    that listings have pages is shown on a stub of its own."""
    server = BigQueryStub(page_items=1000)
    server.buckets[BUCKET] = tmp_path_factory.mktemp("bucket")
    yield server
    server.close()


def connector(kind: str, request: pytest.FixtureRequest) -> Connect:
    """What makes adapters to the warehouse of this kind that all tests of this process share."""
    if kind == "local":
        local_server: LocalServer = request.getfixturevalue("local_server")
        return local_server.connect
    stub: BigQueryStub = request.getfixturevalue("stub")
    return partial(bigquery, stub.address)


@pytest.fixture(params=KINDS)
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    """Makes adapters to one warehouse, each with connections of its own, as another process has."""
    made: list[Warehouse] = []
    open_new = connector(request.param, request)

    def new() -> Warehouse:
        made.append(open_new())
        return made[-1]

    yield new
    for warehouse in made:
        await warehouse.close()


def new_place(kind: str, request: pytest.FixtureRequest) -> Place:
    """A new folder that the warehouse of this kind may load files from."""
    name = uuid.uuid4().hex
    if kind == "local":
        folder = request.getfixturevalue("local_server").files / name
        uri = str(folder)
    else:
        folder = request.getfixturevalue("stub").buckets[BUCKET] / name
        uri = f"gs://{BUCKET}/{name}"
    folder.mkdir()
    return Place(uri, folder)


@pytest.fixture
def place(connect: Connect, request: pytest.FixtureRequest) -> Place:
    """A folder of the test's own that the warehouse may load files from."""
    return new_place(request.node.callspec.params["connect"], request)


@pytest.fixture
def warehouse(connect: Connect) -> Warehouse:
    """One adapter to each of both."""
    return connect()
