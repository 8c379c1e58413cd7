"""The immutable plan of a run: what the engine keeps, and what its workers execute, whatever happens to the template meanwhile.

Only strings, numbers and nested dataclasses of them, so that it survives the engine's JSON. It holds no secret. Most of its classes are
twins of those of `common.templates.resolved`, field by field: those change with the language, these lie in histories of runs that go on.
"""

from dataclasses import dataclass

from pydantic import TypeAdapter

from common.errors import PlanTooLarge, Violation
from common.templates.resolved import (
    OnFailure,
    ResolvedCheck,
    ResolvedLoad,
    ResolvedQuery,
    ResolvedStatement,
    ResolvedStep,
    ResolvedTable,
    ResolvedTemplate,
    Severity,
    StepType,
    Write,
)
from common.warehouse.columns import Column, ColumnType
from common.warehouse.file_formats import CsvOptions, LoadFormat
from common.warehouse.warehouse import Parameter, Statement
from pipeline_service.run import RunHeader, RunState, Step
from pipeline_service.run_id import exclusive_workflow_id_for
from pipeline_service.typed_text import from_text, to_text

MAX_PLAN_BYTES = 1_000_000
"""The engine takes 2 MB for one value; the memo repeats the parameters."""


@dataclass(frozen=True, slots=True)
class PlanParameter:
    """A typed query parameter. `texts` has one value, or those of an array; None is NULL."""

    name: str
    type: ColumnType
    texts: tuple[str | None, ...]
    array: bool

    @classmethod
    def of(cls, parameter: Parameter) -> "PlanParameter":
        """Write a parameter's value as text."""
        values = parameter.value if parameter.array else (parameter.value,)
        return cls(parameter.name, parameter.type, tuple(to_text(v) for v in values), parameter.array)  # type: ignore[union-attr,arg-type]

    def parameter(self) -> Parameter:
        """The parameter, its value typed again."""
        values = [from_text(self.type, text) for text in self.texts]
        return Parameter(self.name, self.type, values if self.array else values[0], self.array)


@dataclass(frozen=True, slots=True)
class PlanStatement:
    """A SELECT, and the full names of the tables that it reads."""

    sql: str
    parameters: tuple[PlanParameter, ...]
    tables: tuple[str, ...]

    @classmethod
    def of(cls, resolved: ResolvedStatement) -> "PlanStatement":
        """Take over a resolved statement."""
        statement = resolved.statement
        parameters = tuple(PlanParameter.of(parameter) for parameter in statement.parameters)
        return cls(statement.sql, parameters, tuple(str(table) for table in resolved.tables))

    def statement(self, prefix: str = "") -> Statement:
        """The statement for the warehouse, with `prefix` in front of its SQL."""
        return Statement(prefix + self.sql, tuple(parameter.parameter() for parameter in self.parameters))


@dataclass(frozen=True, slots=True)
class PlanCheck:
    """A data-quality check: see ResolvedCheck for what its SELECTs yield."""

    name: str
    type: str
    severity: Severity
    measure: PlanStatement
    sample: PlanStatement | None
    run_values: tuple[str, ...] = ()

    @classmethod
    def of(cls, resolved: ResolvedCheck) -> "PlanCheck":
        """Take over a resolved check."""
        sample = PlanStatement.of(resolved.sample) if resolved.sample else None
        measure = PlanStatement.of(resolved.measure)
        return cls(resolved.name, resolved.type, resolved.severity, measure, sample, resolved.run_values)


@dataclass(frozen=True, slots=True)
class PlanTable:
    """A table of the tenant's dataset, or the day `partition` (YYYY-MM-DD) of it."""

    table: str
    partition_column: str | None
    partition: str | None

    @classmethod
    def of(cls, resolved: ResolvedTable) -> "PlanTable":
        """Take over a resolved table."""
        day = resolved.partition.isoformat() if resolved.partition else None
        return cls(str(resolved.table), resolved.partition_column, day)


@dataclass(frozen=True, slots=True)
class PlanQuery:
    """What a query step stages and publishes. `credential` is a name and never more; plans of earlier releases lack what has a
    default."""

    select: PlanStatement
    destination: PlanTable
    write: Write
    clustering: tuple[str, ...]
    max_bytes_billed: int | None
    credential: str | None = None
    keys: tuple[str, ...] = ()
    newest_source_row: PlanStatement | None = None

    @classmethod
    def of(cls, resolved: ResolvedQuery) -> "PlanQuery":
        """Take over a resolved query."""
        return cls(
            PlanStatement.of(resolved.select),
            PlanTable.of(resolved.destination),
            resolved.write,
            resolved.clustering,
            resolved.max_bytes_billed,
            resolved.credential,
            resolved.keys,
            PlanStatement.of(resolved.newest_source_row) if resolved.newest_source_row else None,
        )


@dataclass(frozen=True, slots=True)
class PlanLoad:
    """What a load step stages and publishes."""

    uri: str
    format: LoadFormat
    columns: tuple[Column, ...]
    csv: CsvOptions
    destination: PlanTable
    write: Write
    clustering: tuple[str, ...]
    keys: tuple[str, ...] = ()

    @classmethod
    def of(cls, resolved: ResolvedLoad) -> "PlanLoad":
        """Take over a resolved load."""
        return cls(
            resolved.uri,
            resolved.format,
            resolved.columns,
            resolved.csv,
            PlanTable.of(resolved.destination),
            resolved.write,
            resolved.clustering,
            resolved.keys,
        )


@dataclass(frozen=True, slots=True)
class PlanStep:
    """One step. A `query` step has `query`, a `load` step `load`, a `dq` step `checked`."""

    step_id: str
    type: StepType
    depends_on: tuple[str, ...]
    timeout_seconds: float
    max_attempts: int
    query: PlanQuery | None
    checked: PlanTable | None
    checks: tuple[PlanCheck, ...]
    when: PlanStatement | None = None
    on_failure: OnFailure = "stop"
    load: PlanLoad | None = None

    @property
    def asks_first(self) -> bool:
        """Whether something is asked before it is executed: its condition, or how new its source is."""
        return self.when is not None or (self.query is not None and self.query.newest_source_row is not None)

    @property
    def published(self) -> PlanQuery | PlanLoad | None:
        """What it stages and publishes; None for a step that publishes nothing."""
        return self.query or self.load

    @classmethod
    def of(cls, resolved: ResolvedStep) -> "PlanStep":
        """Take over a resolved step."""
        return cls(
            resolved.step_id,
            resolved.type,
            resolved.depends_on,
            resolved.timeout_seconds,
            resolved.max_attempts,
            PlanQuery.of(resolved.query) if resolved.query else None,
            PlanTable.of(resolved.checked) if resolved.checked else None,
            tuple(PlanCheck.of(check) for check in resolved.checks),
            PlanStatement.of(resolved.when) if resolved.when else None,
            resolved.on_failure,
            PlanLoad.of(resolved.load) if resolved.load else None,
        )

    def statements(self) -> tuple[PlanStatement, ...]:
        """Every statement that the step runs."""
        query = self.query
        own = (self.when, query.newest_source_row if query else None, query.select if query else None)
        of_checks = (*(check.measure for check in self.checks), *(check.sample for check in self.checks))
        return tuple(statement for statement in (*own, *of_checks) if statement is not None)


@dataclass(frozen=True, slots=True)
class PlanBudget:
    """What bounds the bytes that a run bills: `max_bytes` of its own, None for no such bound, and, with `of_day`, those that its tenant has
    for a day, which the tenant's gate hands out."""

    max_bytes: int | None
    of_day: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run does. `done` are the steps that the run before has completed, where this one goes on from it; `max_active_runs` and
    `max_bytes` are the template's own limits, if it has any; `exclusive` says that it is the only active run of its template and tenant;
    `budget` is what counts as the run is accepted, None where nothing bounds it."""

    header: RunHeader
    steps: tuple[PlanStep, ...]
    timeout_seconds: float | None = None
    done: tuple[Step, ...] = ()
    max_active_runs: int | None = None
    exclusive: bool = False
    max_bytes: int | None = None
    budget: PlanBudget | None = None

    @property
    def workflow_id(self) -> str:
        """The workflow that runs it. No two executions of a workflow are active at once: that is what keeps the same work, and any work of
        an exclusive template, from being done twice at the same time."""
        header = self.header
        return exclusive_workflow_id_for(header.tenant_id, header.pipeline_id) if self.exclusive else header.work_id

    @property
    def why_alone(self) -> str:
        """Why no other run of its workflow may be active beside it."""
        return "The template is exclusive"

    @classmethod
    def of(cls, resolved: ResolvedTemplate, *, trigger_by: str, principal: str) -> "Plan":
        """Take over a resolved template. Raises PlanTooLarge."""
        header = RunHeader(
            resolved.tenant_id, resolved.pipeline_id, resolved.digest, trigger_by, principal, dict(resolved.parameters)
        )
        steps = tuple(PlanStep.of(step) for step in resolved.steps)
        plan = cls(
            header,
            steps,
            resolved.timeout_seconds,
            max_active_runs=1 if resolved.exclusive else resolved.max_active_runs,
            exclusive=resolved.exclusive,
            max_bytes=resolved.max_bytes,
        )
        size = len(_PLAN.dump_json(plan))
        if size > MAX_PLAN_BYTES:
            violation = Violation("parameters", f"give a plan of {size} bytes; at most {MAX_PLAN_BYTES} are taken")
            raise PlanTooLarge([violation])
        return plan

    def first_state(self) -> RunState:
        """Where its run stands before anything has happened."""
        done = {step.step_id: step for step in self.done}
        return RunState(
            tuple(
                done.get(step.step_id)
                or Step(
                    step.step_id,
                    step.type,
                    destination_table=_table_name(step.published.destination.table) if step.published else "",
                )
                for step in self.steps
            )
        )


_PLAN = TypeAdapter(Plan)


def _table_name(full_name: str) -> str:
    return full_name.rsplit(".", 1)[1]
