"""What resolving a template for one tenant yields: statements with typed parameters, and the tables that each may touch.

Nothing here holds a placeholder any more. `pipeline_service.plan` turns it into what the run engine keeps.
"""

from dataclasses import dataclass
from datetime import date
from typing import Literal

from common.warehouse.columns import Column
from common.warehouse.file_formats import CsvOptions, LoadFormat
from common.warehouse.warehouse import Statement, TableRef

Severity = Literal["error", "warn"]
OnFailure = Literal["stop", "continue"]
StepType = Literal["query", "load", "dq"]
Write = Literal["replace_partition", "replace_table", "merge", "view"]
CREATE_TIME = "run_create_time"
"""TIMESTAMP: when the run was accepted."""
LAST_ROWS = "last_rows"
"""INT64: how many rows the last COMPLETE run had to check; NULL where there was none."""
RUN_VALUES = (CREATE_TIME, LAST_ROWS)
"""Query parameters of checks whose values only a run can give."""


@dataclass(frozen=True, slots=True)
class ResolvedStatement:
    """A SELECT that was checked, and every table that it reads (staging tables of its own step excluded)."""

    statement: Statement
    tables: tuple[TableRef, ...]


@dataclass(frozen=True, slots=True)
class ResolvedCheck:
    """A data-quality check as SELECTs from `checked`, a common table expression that the step puts in front of them, since only a run
    knows its staging table: ``WITH checked AS (SELECT * FROM `acme._stage_x`) SELECT ... FROM checked``. Neither SELECT starts with a
    WITH of its own.

    `measure` yields one row of four columns: `passed` BOOL, `failing_rows` INT64, `observed` and `expected` STRING, each NULL where there
    is nothing to say. `sample` yields at most 20 failing rows; None where a check compares totals. `run_values` are the parameters of
    both, bound as NULL, to which the step gives a value.
    """

    name: str
    type: str
    severity: Severity
    measure: ResolvedStatement
    sample: ResolvedStatement | None
    run_values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ResolvedTable:
    """A table of the tenant's dataset, or one partition (a day of `partition_column`) of it. What a query or load step publishes and a dq
    step checks."""

    table: TableRef
    partition_column: str | None
    partition: date | None


@dataclass(frozen=True, slots=True)
class ResolvedQuery:
    """What a query step stages and publishes, or, where `write` is view, makes a view of.

    `destination.partition` is set exactly when `write` is replace_partition, `keys` when it is merge; `credential` names the tenant's
    credential of the account that the SELECT runs as, None the service's own;
    `newest_source_row` yields one row of one column, `newest` TIMESTAMP.
    """

    select: ResolvedStatement
    destination: ResolvedTable
    write: Write
    clustering: tuple[str, ...]
    max_bytes_billed: int | None
    credential: str | None = None
    keys: tuple[str, ...] = ()
    newest_source_row: ResolvedStatement | None = None


@dataclass(frozen=True, slots=True)
class ResolvedLoad:
    """What a load step stages and publishes: the rows of files. `columns` and `csv` are a LoadJob's, the others a query's."""

    uri: str
    format: LoadFormat
    columns: tuple[Column, ...]
    csv: CsvOptions
    destination: ResolvedTable
    write: Write
    clustering: tuple[str, ...]
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ResolvedStep:
    """One step. A `query` step has `query`, a `load` step `load`, a `dq` step `checked`. `when` yields one row of one column, `decision`
    BOOL."""

    step_id: str
    type: StepType
    depends_on: tuple[str, ...]
    timeout_seconds: float
    max_attempts: int
    query: ResolvedQuery | None
    checked: ResolvedTable | None
    checks: tuple[ResolvedCheck, ...]
    when: ResolvedStatement | None = None
    on_failure: OnFailure = "stop"
    load: ResolvedLoad | None = None

    @property
    def published(self) -> ResolvedQuery | ResolvedLoad | None:
        """What it stages and publishes; None for a step that publishes nothing."""
        return self.query or self.load


@dataclass(frozen=True, slots=True)
class ResolvedTemplate:
    """A template resolved for one tenant. `parameters` are the resolved values in canonical text, sorted by name; `digest` is the
    SHA-256 of the template file, in hex; `timeout_seconds` bounds the whole run; `max_active_runs` are those of one
    tenant at once; `exclusive` forbids a second active run for a tenant, whatever its parameters;
    `max_bytes` are what a run may bill."""

    pipeline_id: str
    tenant_id: str
    digest: str
    parameters: tuple[tuple[str, str], ...]
    steps: tuple[ResolvedStep, ...]
    timeout_seconds: float | None = None
    max_active_runs: int | None = None
    exclusive: bool = False
    max_bytes: int | None = None
