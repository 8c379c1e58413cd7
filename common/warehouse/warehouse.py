"""The warehouse port: the little that Convergence needs of BigQuery. SQL is GoogleSQL everywhere.

Adapters: `bigquery.py` (production) and `local.py` (the embedded default). One contract suite, `tests/contract/`, runs over both.
Every method raises `Transient` when the warehouse is away or busy, and never blocks longer than its deadline.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Protocol

from common.warehouse.columns import Column, ColumnType
from common.warehouse.estimate import Estimate
from common.warehouse.file_formats import CsvOptions, LoadFormat

Value = str | bytes | int | float | Decimal | bool | date | datetime | None
"""A scalar as Python sees it. NUMERIC is Decimal, TIMESTAMP an aware datetime in UTC, JSON its text."""
Row = Mapping[str, "Value | Sequence[object] | Mapping[str, object]"]
"""One row by column name. A REPEATED column is a list, a RECORD a mapping."""


@dataclass(frozen=True, slots=True)
class TableRef:
    """A table's full name. `project` is None for our own project."""

    dataset: str
    table: str
    project: str | None = None

    def __str__(self) -> str:
        return f"{self.project}.{self.dataset}.{self.table}" if self.project else f"{self.dataset}.{self.table}"

    @classmethod
    def parse(cls, text: str) -> "TableRef":
        """Parse `dataset.table` or `project.dataset.table`; ValueError for anything else."""
        parts = text.split(".")
        if len(parts) == 2 and all(parts):
            return cls(dataset=parts[0], table=parts[1])
        if len(parts) == 3 and all(parts):
            return cls(project=parts[0], dataset=parts[1], table=parts[2])
        raise ValueError("expected dataset.table or project.dataset.table")


@dataclass(frozen=True, slots=True)
class TableSpec:
    """What a table is made of. `partition_column` is a DATE or TIMESTAMP column, partitioned by day."""

    columns: tuple[Column, ...]
    partition_column: str | None = None
    clustering: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view as it stands."""

    ref: TableRef
    spec: TableSpec
    row_count: int
    expire_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset as it stands. `etag` changes with every change to it."""

    dataset_id: str
    location: str
    labels: Mapping[str, str]
    create_time: datetime
    etag: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """A typed query parameter, `@name` in SQL. With `array`, `value` is a sequence and the type is its elements'."""

    name: str
    type: ColumnType
    value: Value | Sequence[Value]
    array: bool = False


@dataclass(frozen=True, slots=True)
class Statement:
    """One GoogleSQL statement and its parameters."""

    sql: str
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a query or a load writes its rows, replacing what is there. `expire_time` makes it a staging table."""

    table: TableRef
    partition_column: str | None = None
    clustering: tuple[str, ...] = ()
    expire_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class QueryJob:
    """Run a statement under an id that can never run twice.

    `job_id` is `[A-Za-z0-9_-]{1,200}`, unique for ever, also when the job failed: put the attempt into it.
    """

    job_id: str
    statement: Statement
    destination: Destination | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    max_bytes_billed: int | None = None
    timeout_seconds: float = 600.0


@dataclass(frozen=True, slots=True)
class ReplaceJob:
    """Replace one partition of `destination` (or, with `partition` None, the whole table) by the rows of `source`, atomically.

    The destination is created with the source's columns and partitioning where it does not exist. A `source` without rows empties the
    partition. Rows of `source` outside `partition` are refused with Terminal, reason ROWS_OUTSIDE_PARTITION, before anything is changed.
    A source with other columns than the destination's is refused with Terminal.
    """

    job_id: str
    source: TableRef
    destination: TableRef
    partition: date | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: float = 600.0


@dataclass(frozen=True, slots=True)
class MergeJob:
    """Put the rows of `source` into `destination`, atomically: each in place of the rows that agree with it in all `keys`, or beside them
    where none does. The same rows merged twice leave the same table.

    The destination is created with the source's columns, partitioning and clustering where it does not exist. Refused with Terminal before
    anything is changed: a source with other columns than the destination's, a key that is no column of `merging.KEY_TYPES`, and, with the
    reason MERGE_KEYS_INVALID, rows with NULL in a key and two rows with the same; reason BYTES_BILLED_LIMIT, where all its statements
    together would bill more than `max_bytes_billed`. Of any number of merges at the same time those that would make two rows of one new key
    abort, and may be tried again.
    """

    job_id: str
    source: TableRef
    destination: TableRef
    keys: tuple[str, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: float = 600.0
    max_bytes_billed: int | None = None


@dataclass(frozen=True, slots=True)
class LoadJob:
    """Read files into `destination`, in place of what is there: all rows of all files, or none.

    `uri` is `gs://bucket/path` or an absolute path, whose last part may hold one `*`: any characters of what follows, `/` among them.
    `columns` are those of the files, in their order for CSV and by their names otherwise; REPEATED and RECORD are for ndjson and parquet,
    and none at all takes those of the parquet files. Files are in UTF-8. Refused with Terminal: where no file matches, reason
    SOURCE_FILES_MISSING; where one holds anything else than the columns say, reason LOAD_FAILED, telling where but not what.
    """

    job_id: str
    uri: str
    format: LoadFormat
    columns: tuple[Column, ...]
    destination: Destination
    csv: CsvOptions = field(default_factory=CsvOptions)
    labels: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: float = 600.0


Job = QueryJob | LoadJob | ReplaceJob | MergeJob


@dataclass(frozen=True, slots=True)
class JobResult:
    """What a finished job did. `rows` is the rows written or affected; bytes are as the warehouse counts them."""

    job_id: str
    rows: int
    bytes_processed: int
    bytes_billed: int


class RowStream(Protocol):
    """Rows of a SELECT, page by page. Close it when not read to its end."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The result's columns, known before the first page."""
        ...

    @property
    def bytes_processed(self) -> int:
        """Bytes that the SELECT read."""
        ...

    @property
    def bytes_billed(self) -> int:
        """Bytes that are billed for it."""
        ...

    def __aiter__(self) -> AsyncIterator[Sequence[Row]]:
        """Yield pages of at least one row each."""
        ...

    async def close(self) -> None:
        """Stop reading and free what the stream holds. May be called twice."""
        ...


class Warehouse(Protocol):
    """The port. Safe to use from many tasks at once."""

    @property
    def writers_per_table(self) -> int | None:
        """How many jobs may well change one table at the same time: more of them only queue, or lose against each other. None where it does
        not matter."""
        ...

    async def create_dataset(
        self, dataset_id: str, *, location: str, labels: Mapping[str, str], description: str = ""
    ) -> Dataset:
        """Create a dataset, atomically: of any number of concurrent calls one succeeds. Raises ObjectExists."""
        ...

    async def get_dataset(self, dataset_id: str) -> Dataset:
        """Read a dataset. Raises ObjectNotFound."""
        ...

    async def set_labels(self, dataset: Dataset, labels: Mapping[str, str]) -> Dataset:
        """Set these labels beside the others if the dataset is as `dataset.etag` knew it. Raises PreconditionLost, ObjectNotFound."""
        ...

    async def list_datasets(self, *, label: str) -> Sequence[Dataset]:
        """All datasets that carry the label key `label`, in one call per page. `create_time`, `location` and `etag` may be unset
        ("", the epoch): the listing of BigQuery does not carry them."""
        ...

    async def create_table(self, ref: TableRef, spec: TableSpec) -> None:
        """Create an empty table. Raises ObjectExists, ObjectNotFound (its dataset)."""
        ...

    async def get_table(self, ref: TableRef) -> Table:
        """Read a table's description. Raises ObjectNotFound."""
        ...

    async def add_columns(self, ref: TableRef, columns: Sequence[Column]) -> None:
        """Add the columns that the table lacks, all at once; rows that exist have NULL or, where REPEATED, nothing in them.

        A column that exists under such a name, in whatever case, is left as it is, also where it is of another type. Any number of calls
        may add the same columns at the same time. Raises ObjectNotFound, Terminal for a missing column that is REQUIRED.
        """
        ...

    async def list_tables(self, dataset_id: str) -> Sequence[TableRef]:
        """Every table and view of a dataset, in no order, but for those that have expired. Raises ObjectNotFound."""
        ...

    async def delete_table(self, ref: TableRef) -> None:
        """Delete a table or view; one that does not exist is no error."""
        ...

    async def create_or_replace_view(self, ref: TableRef, select: str) -> None:
        """Make a view of a SELECT, or put this one in place of the one that there is, at once; the same twice is no error.

        A view is then read, described, listed and deleted as a table is, but has no rows of its own: its `row_count` is 0, and list_rows
        refuses it. Raises Terminal for a SELECT that does not compile, names a table that does not exist or reads the view itself, and
        where a table has the name.
        """
        ...

    async def list_rows(self, ref: TableRef) -> Sequence[Row]:
        """All rows of a small table without a query job, so nothing is billed (BigQuery: tabledata.list). Raises ObjectNotFound."""
        ...

    async def submit(self, job: Job) -> None:
        """Start a job. Returns once it is durably accepted. Raises ObjectExists when the id was ever used."""
        ...

    async def wait(self, job_id: str, *, timeout_seconds: float) -> JobResult:
        """Wait until a job ends. Raises what the job failed with (JobAborted, Terminal), ObjectNotFound for an id that is not known
        (never submitted, or lost in a crash before it wrote anything), a plain Transient when it still runs after `timeout_seconds`
        or the warehouse is away. Only JobAborted says that the job ended and had no effect."""
        ...

    async def cancel(self, job_id: str) -> None:
        """Ask a job to stop; it then ends with Terminal. One that ended or is not known is no error."""
        ...

    async def read(
        self,
        statement: Statement,
        *,
        page_size: int = 1000,
        max_bytes_billed: int | None = None,
        labels: Mapping[str, str] | None = None,
        timeout_seconds: float = 60.0,
    ) -> RowStream:
        """Run a SELECT and stream its rows. Never holds more than a few pages in memory."""
        ...

    async def estimate(self, statement: Statement) -> Estimate:
        """What a SELECT would read, without running it: nothing is billed, and no job is left. A table or dataset that does not exist is
        no error but the basis `table_missing`. Raises Terminal for a statement that does not compile."""
        ...

    async def close(self) -> None:
        """Release connections and threads."""
        ...
