"""The tenant's own tables of runs, step attempts and check results: few statements, each under job ids that run once."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from common.clock import Clock
from common.errors import ObjectNotFound
from common.paging import Place
from common.templates.template import TemplateName
from common.warehouse.attempts import run_once
from common.warehouse.rows import read_rows
from common.warehouse.statements import Record, insert_statement
from common.warehouse.warehouse import Parameter, QueryJob, Row, Statement, TableRef, TableSpec, Warehouse
from pipeline_service.record_rows import check_row, outcome_in, parameters_in, result_in, run_in, run_row, step_row
from pipeline_service.record_sql import (
    begin_statement,
    billed_statement,
    end_statement,
    last_of_days_statement,
    last_rows_sql,
    runs_statement,
)
from pipeline_service.run import CheckOutcome, Run, RunHeader, RunStatus, StepStatus
from pipeline_service.run_filter import RunFilter
from pipeline_service.step_errors import may_pass
from pipeline_service.step_result import AttemptRecord, RunRef, StepResult
from pipeline_service.steps.attempt import Attempt, day_of

RUNS, STEPS, CHECKS = "pipeline_runs", "step_logs", "dq_results"
LAST_RUN_DAYS = 400
"""How far back a run is compared with the last one: a yearly template finds it, and BigQuery reads no older partition."""
_ADDED = frozenset({"retry_of", "cost_usd", "price_per_tib_usd", "backfill_of", "backfill", "newest_source_row_time"})
"""Columns of these tables that tenants of an earlier version lack until they are migrated."""
_MOST_KNOWN = 10_000
"""Tables that are known to have every column. Beyond that all are looked at anew."""
_DEADLINE_SECONDS = 30.0
_TRIES = 5
"""Jobs that one call takes at most: DML loses against concurrent DML now and then."""


@dataclass(frozen=True, slots=True)
class CheckRecord:
    """A check's outcome with a sample of the rows that broke it, which goes into the tenant's table and nowhere else."""

    outcome: CheckOutcome
    sample: Sequence[Row]
    check_time: datetime


class Records:
    """Writes and reads them. Every method raises Transient while the warehouse is away, Terminal where it refuses; writing can be
    repeated, by any process."""

    def __init__(self, warehouse: Warehouse, specs: Mapping[str, TableSpec], clock: Clock) -> None:
        """`specs` has the schemas of the three tables, by name."""
        self._warehouse = warehouse
        self._specs = specs
        self._clock = clock
        self._whole: set[TableRef] = set()

    async def begin_run(self, run: Run, *, attempt: int) -> None:
        """Write the run's row as it begins. `attempt` counts, from 1, the calls for this run."""
        table = TableRef(run.header.tenant_id, RUNS)
        statement = begin_statement(table, self._specs[RUNS], await self._fitting(table, run_row(run)))
        await self._write(f"{run.pipeline_logging_id}_begin", statement, attempt)

    async def end_run(self, run: Run, *, attempt: int) -> None:
        """Write the run's row as it ended. `attempt` counts, from 1, the calls for this run."""
        table = TableRef(run.header.tenant_id, RUNS)
        statement = end_statement(table, self._specs[RUNS], await self._fitting(table, run_row(run)))
        await self._write(f"{run.pipeline_logging_id}_end", statement, attempt)

    async def end_run_with_step(self, run: Run) -> None:
        """Write the run's row as it ended with its last step, unless it is written already how it ended: whoever gave that step up may have
        had another say. Under job ids of its own: `end_run` would attach to this job otherwise, and its word is to be the last."""
        table = TableRef(run.header.tenant_id, RUNS)
        statement = end_statement(table, self._specs[RUNS], await self._fitting(table, run_row(run)), unless_ended=True)
        await self._write(f"{run.pipeline_logging_id}_done", statement, attempt=1)

    async def add_attempt(self, run: RunRef, record: AttemptRecord, *, tries: int = 1) -> None:
        """Add the row of an attempt at a step that has ended. `tries` counts, from 1, the calls that may have been made for it."""
        prefix = f"{run.pipeline_logging_id}_{record.step_id}_log{record.result.attempts}"
        await self._insert(
            prefix, TableRef(run.tenant_id, STEPS), [step_row(run, record)], tries, outlives_refusals=True
        )

    async def add_attempts(self, run: RunRef, records: Sequence[AttemptRecord], *, tries: int) -> None:
        """Add several, each whatever becomes of the others. Raises what may pass of that before anything else."""
        adding = (self.add_attempt(run, record, tries=tries) for record in records)
        results = await asyncio.gather(*adding, return_exceptions=True)
        errors = [result for result in results if isinstance(result, BaseException)]
        if errors:
            raise next(filter(may_pass, errors), errors[0])

    async def success_before(self, attempt: Attempt) -> StepResult | None:
        """What an earlier attempt at the step did, where one is recorded to have succeeded: it died before the engine knew."""
        try:
            rows = await self._read(
                f"SELECT * FROM `{TableRef(attempt.run.tenant_id, STEPS)}` "
                "WHERE pipeline_logging_id = @pipeline_logging_id AND step_id = @step_id AND status = @status",
                pipeline_logging_id=attempt.run.pipeline_logging_id,
                step_id=attempt.step.step_id,
                status=StepStatus.COMPLETE.value,
            )
        except ObjectNotFound:  # writing says so
            return None
        if not rows:
            return None
        return result_in(rows[0], await self.check_outcomes(attempt) if attempt.step.checks else ())

    async def add_checks(self, attempt: Attempt, records: Sequence[CheckRecord]) -> None:
        """Add the rows of a step's checks, once for all attempts at the step."""
        rows = [check_row(attempt, record.outcome, record.sample, record.check_time) for record in records]
        prefix = f"{attempt.run.pipeline_logging_id}_{attempt.step.step_id}_checks"
        await self._insert(prefix, TableRef(attempt.run.tenant_id, CHECKS), rows, attempt.number)

    async def check_outcomes(self, attempt: Attempt) -> tuple[CheckOutcome, ...]:
        """The outcomes that were recorded for the step's checks, in their order; empty where none were."""
        rows = await self._read(
            f"SELECT * FROM `{TableRef(attempt.run.tenant_id, CHECKS)}` "
            "WHERE pipeline_logging_id = @pipeline_logging_id AND step_id = @step_id",
            pipeline_logging_id=attempt.run.pipeline_logging_id,
            step_id=attempt.step.step_id,
        )
        outcomes = {outcome.name: outcome for outcome in map(outcome_in, rows)}
        return tuple(outcomes[check.name] for check in attempt.step.checks if check.name in outcomes)

    async def last_rows(self, attempt: Attempt) -> int | None:
        """How many rows the step staged in the last COMPLETE run of this template in which it staged any; None where there is none, or
        none in LAST_RUN_DAYS. Where it replaces a day, only other days count."""
        tenant_id, published = attempt.run.tenant_id, attempt.step.published
        sql = last_rows_sql(TableRef(tenant_id, RUNS), TableRef(tenant_id, STEPS))
        bound = (
            Parameter("pipeline_id", "STRING", attempt.run.pipeline_id),
            Parameter("step_id", "STRING", attempt.step.step_id),
            Parameter("day", "DATE", day_of(published.destination.partition) if published else None),
            Parameter("since", "TIMESTAMP", attempt.run_create_time - timedelta(days=LAST_RUN_DAYS)),
        )
        rows = await self._rows(Statement(sql, bound))
        return int(str(rows[0]["rows_staged"])) if rows else None

    async def billed_since(self, tenant_id: str, midnight: datetime) -> int:
        """The bytes that the tenant's attempts at steps have billed that have ended since then, as far as they are recorded."""
        table = TableRef(tenant_id, STEPS)
        try:
            await self._warehouse.get_table(table)
        except ObjectNotFound:
            return 0
        [row] = await self._rows(billed_statement(table, midnight))
        return int(str(row["billed"]))

    async def run(self, tenant_id: str, pipeline_logging_id: str) -> Run | None:
        """A run as its row has it; None where there is none, not even such a tenant."""
        try:
            await self._warehouse.get_table(TableRef(tenant_id, RUNS))
            rows = await self._read(
                f"SELECT * FROM `{TableRef(tenant_id, RUNS)}` WHERE pipeline_logging_id = @pipeline_logging_id",
                pipeline_logging_id=pipeline_logging_id,
            )
        except ObjectNotFound:
            return None
        return run_in(rows[0]) if rows else None

    async def runs(self, tenant_id: str, wanted: RunFilter, *, after: Place | None, limit: int) -> list[Run]:
        """At most `limit` runs as their rows have them, in the filter's order, from the one that follows `after`; none of a tenant that
        does not exist. An active run's row says nothing of where it stands, so a status that is not terminal selects all of them."""
        table = TableRef(tenant_id, RUNS)
        try:
            await self._warehouse.get_table(table)
            return [run_in(row) for row in await self._rows(runs_statement(table, wanted, after, limit))]
        except ObjectNotFound:
            return []

    async def complete_days(self, header: RunHeader, start_date: str, end_date: str) -> Mapping[str, str]:
        """The days, both ends inclusive, whose last run of the header's template with its parameters, and `date` beside them, is COMPLETE:
        each with the id of that run."""
        rows = await self._rows(last_of_days_statement(TableRef(header.tenant_id, RUNS), header, start_date, end_date))
        complete = {}
        for row in rows:
            if row["status"] == RunStatus.COMPLETE and len(parameters_in(row)) == len(header.parameters) + 1:
                complete[str(row["day"])] = str(row["pipeline_logging_id"])
        return complete

    async def last_run(self, tenant_id: str, template: TemplateName) -> Run | None:
        """The last of a tenant's runs of a template that is no backfill; None where there is none."""
        table = TableRef(tenant_id, RUNS)
        try:
            await self._warehouse.get_table(table)
            wanted = RunFilter(*template)
            rows = await self._rows(runs_statement(table, wanted, None, 1, without_backfills=True))
        except ObjectNotFound:
            return None
        return run_in(rows[0]) if rows else None

    async def _fitting(self, table: TableRef, row: Record) -> Record:
        """The row without what its table has no column for yet: that of a tenant of an earlier version. Such a table is looked at each
        time, since it may be migrated at any; none loses a column."""
        if table in self._whole or not row.keys() & _ADDED:
            return row
        try:
            columns = {column.name for column in (await self._warehouse.get_table(table)).spec.columns}
        except ObjectNotFound:
            return row  # writing says so
        if columns >= {column.name for column in self._specs[table.table].columns}:
            if len(self._whole) >= _MOST_KNOWN:
                self._whole.clear()
            self._whole.add(table)
        return {name: value for name, value in row.items() if name in columns or name not in _ADDED}

    async def _insert(
        self,
        job_id_prefix: str,
        table: TableRef,
        rows: Sequence[Record],
        tries: int,
        *,
        outlives_refusals: bool = False,
    ) -> None:
        fitting = [await self._fitting(table, row) for row in rows]
        statement = insert_statement(table, self._specs[table.table], fitting)
        await self._write(job_id_prefix, statement, tries, outlives_refusals=outlives_refusals)

    async def _write(
        self, job_id_prefix: str, statement: Statement, attempt: int, *, outlives_refusals: bool = False
    ) -> None:
        await run_once(
            self._warehouse,
            lambda number: QueryJob(f"{job_id_prefix}_{number}", statement, timeout_seconds=_DEADLINE_SECONDS),
            deadline_seconds=_DEADLINE_SECONDS,
            max_attempts=_TRIES * attempt,
            clock=self._clock,
            leaves_job=lambda: True,
            outlives_refusals=outlives_refusals,
        )

    async def _read(self, sql: str, **parameters: str) -> list[Row]:
        return await self._rows(Statement(sql, tuple(Parameter(n, "STRING", value) for n, value in parameters.items())))

    async def _rows(self, statement: Statement) -> list[Row]:
        return await read_rows(self._warehouse, statement, timeout_seconds=_DEADLINE_SECONDS)
