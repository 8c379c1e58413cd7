"""The one DuckDB file: opened, closed in and its errors translated; readers and writers each on a cursor of their own."""

import contextlib
import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb

from common.errors import Terminal, Transient, WarehouseError

METADATA = "_convergence"
"""The schema of our own records; no dataset can have this name."""
_TABLES = f"""
CREATE SCHEMA IF NOT EXISTS {METADATA};
CREATE TABLE IF NOT EXISTS {METADATA}.datasets (
    dataset_id VARCHAR PRIMARY KEY, location VARCHAR, labels VARCHAR, description VARCHAR, create_time TIMESTAMPTZ, etag VARCHAR);
CREATE TABLE IF NOT EXISTS {METADATA}.tables (
    dataset_id VARCHAR, table_id VARCHAR, spec VARCHAR, expire_time TIMESTAMPTZ, PRIMARY KEY (dataset_id, table_id));
CREATE TABLE IF NOT EXISTS {METADATA}.views (
    dataset_id VARCHAR, table_id VARCHAR, query VARCHAR, PRIMARY KEY (dataset_id, table_id));
CREATE TABLE IF NOT EXISTS {METADATA}.jobs (job_id VARCHAR PRIMARY KEY, result VARCHAR, error VARCHAR);
"""
# Statements may be anything that the transpiler lets through: the engine itself has no way out of its file.
_CLOSED_IN = {
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}
_COMPILE_ERRORS = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.NotImplementedException,
    duckdb.ParserException,
    duckdb.SyntaxException,
)
_VALUE = re.compile(r"['\"\d(\[{].*", re.DOTALL)


class Database:
    """Raises OSError where the file is in use by another process or cannot be opened."""

    def __init__(self, path: Path) -> None:
        try:
            self._root = duckdb.connect(path, config={**_CLOSED_IN, "memory_limit": "2GB"})
        except duckdb.IOException as error:
            raise OSError(f"cannot open {path}, or another server has it open: {error}") from error
        self._root.execute("SET GLOBAL TimeZone = 'UTC'")
        self._root.execute(_TABLES)
        self._root.execute("SET GLOBAL lock_configuration = true")
        self._opening = threading.Lock()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A cursor, for one thread, to be closed."""
        with self._opening:
            return self._root.cursor()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor in a transaction that ends with the block. Raises Transient where it lost against another one, Terminal for the rest."""
        with contextlib.closing(self.cursor()) as cursor, translated():  # closing it rolls back what is not committed
            cursor.execute("BEGIN")
            yield cursor
            cursor.execute("COMMIT")

    def close(self) -> None:
        """Write everything to the file and release it."""
        with self._opening:
            self._root.close()


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn DuckDB's errors into the port's, without the data that some of them quote."""
    try:
        yield
    except duckdb.Error as error:
        raise translate(error) from error


def translate(error: duckdb.Error) -> WarehouseError:
    """What a DuckDB error is to a caller, by its class."""
    if isinstance(error, duckdb.TransactionException):
        return Transient("The transaction lost against a concurrent one")
    if isinstance(error, duckdb.FatalException):  # this process can use the file no more; the next one recovers it
        os.kill(os.getpid(), signal.SIGTERM)
        return Transient("The warehouse restarts")
    if isinstance(error, duckdb.IOException | duckdb.OutOfMemoryException):
        return Transient("The warehouse is short of disk or memory")
    if isinstance(error, _COMPILE_ERRORS):
        return Terminal(_first_line(str(error)))
    return Terminal(masked(str(error)))


def masked(message: str) -> str:
    """A message of DuckDB up to the first thing in it that may be a value."""
    return _VALUE.sub("...", _first_line(message))


def _first_line(message: str) -> str:
    return next(iter(message.strip().splitlines()), "The statement failed")
