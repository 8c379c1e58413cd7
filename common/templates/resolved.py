"""What resolving a template for one tenant yields: statements with typed parameters, and the tables that each may touch.

Nothing here holds a placeholder any more. `pipeline_service.plan` turns it into what the run engine keeps.
"""

from dataclasses import dataclass
from datetime import date
from typing import Literal

from common.warehouse.warehouse import Statement, TableRef

Severity = Literal["error", "warn"]
StepType = Literal["query", "dq"]
Write = Literal["replace_partition", "replace_table"]


@dataclass(frozen=True, slots=True)
class ResolvedStatement:
    """A SELECT that was checked, and every table that it reads (staging tables of its own step excluded)."""

    statement: Statement
    tables: tuple[TableRef, ...]


@dataclass(frozen=True, slots=True)
class ResolvedCheck:
    """A data-quality check as SELECTs over `{checked}`, the only thing left open: the staged or published table, filled in by the step
    with `sql_over`.

    `measure` yields one row: `failing_rows` INT64, and `observed` and `expected` STRING where the check compares (NULL otherwise), and
    `passed` BOOL. `sample` yields at most 20 failing rows; None where a check compares totals.
    """

    name: str
    type: str
    severity: Severity
    measure: ResolvedStatement
    sample: ResolvedStatement | None


@dataclass(frozen=True, slots=True)
class ResolvedDestination:
    """Where a query step publishes: always in the tenant's dataset."""

    table: TableRef
    write: Write
    partition_column: str | None
    partition: date | None
    clustering: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ResolvedStep:
    """One step. A `query` step has `query` and `destination`; a `dq` step has `table`."""

    step_id: str
    type: StepType
    depends_on: tuple[str, ...]
    timeout_seconds: float
    max_attempts: int
    max_bytes_billed: int | None
    query: ResolvedStatement | None
    destination: ResolvedDestination | None
    table: TableRef | None
    checks: tuple[ResolvedCheck, ...]


@dataclass(frozen=True, slots=True)
class ResolvedTemplate:
    """A template resolved for one tenant. `parameters` are the resolved values in canonical text, sorted by name; `digest` is the
    SHA-256 of the template file, in hex."""

    pipeline_id: str
    tenant_id: str
    provider: str
    domain: str
    template_name: str
    description: str
    digest: str
    parameters: tuple[tuple[str, str], ...]
    steps: tuple[ResolvedStep, ...]
