"""A step with checks, executed on a warehouse as a worker does it, without the engine around it."""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from common.clock import SystemClock
from common.templates.catalog import default_configs_dir
from common.templates.load import load_template
from common.templates.resolve import resolve
from common.templates.template import TemplateName
from common.warehouse.schemas import load_table_spec
from common.warehouse.warehouse import Destination, QueryJob, Row, Statement, TableRef, Warehouse
from pipeline_service.plan import Plan
from pipeline_service.price import Price
from pipeline_service.records import CHECKS, RUNS, STEPS, Records
from pipeline_service.run import CheckOutcome, Run, RunHeader, RunState, RunStatus
from pipeline_service.step_errors import StepFailed
from pipeline_service.step_result import AttemptRecord, RunRef
from pipeline_service.steps.accounts import StepAccounts
from pipeline_service.steps.attempt import Attempt
from pipeline_service.steps.checks import Checks
from pipeline_service.steps.publication import Publication
from pipeline_service.steps.query import QueryExecutor
from tests.contract.work import finish, new_id

DAY = "2025-11-15"
NOW = datetime(2025, 11, 15, 12, 30, tzinfo=UTC)
"""When runs are accepted, unless a test says otherwise."""
DAILY = 'write: replace_partition, partition: {column: day, value: "{date}"}'
WHOLE = "write: replace_table"
_TEMPLATE = """
description: Publishes the rows of the table input
parameters:
  date: {type: date, required: true}
  limit: {type: integer, default: 10}
  rate: {type: number, default: 0.5}
  moment: {type: datetime, default: "2025-11-15T12:00:00"}
  word: {type: string, default: a}
  flag: {type: boolean, default: true}
  severity: {type: enum, values: [error, warn], default: error}
steps:
  - id: load
    type: query
    sql: SELECT * FROM `{tenant_id}.input`
    destination: {table: published, WRITE}
    checks:
"""


@dataclass
class Done:
    """An attempt at the step that has ended, and how."""

    attempt: Attempt
    failed: StepFailed | None

    @property
    def outcome(self) -> CheckOutcome:
        """Of its only check."""
        (outcome,) = self.attempt.checks
        return outcome


class CheckedStep:
    """A tenant whose template publishes what the table `input` holds, if it passes the checks that a test names."""

    def __init__(self, warehouse: Warehouse, tenant_id: str) -> None:
        self.warehouse = warehouse
        self.tenant_id = tenant_id
        schemas = default_configs_dir() / "metadata" / "schemas"
        self._specs = {name: load_table_spec(schemas / f"{name}.json") for name in (RUNS, STEPS, CHECKS)}
        self._clock = SystemClock()
        self.records = Records(warehouse, self._specs, self._clock)

    async def prepare(self) -> None:
        """Create the tables of the records."""
        for name, spec in self._specs.items():
            await self.warehouse.create_table(TableRef(self.tenant_id, name), spec)

    async def put(self, select: str, table: str = "input") -> None:
        """Make a table of the tenant hold the rows of a SELECT."""
        destination = Destination(TableRef(self.tenant_id, table))
        await finish(self.warehouse, QueryJob(new_id(), Statement(select), destination))

    async def run(
        self,
        *checks: str,
        write: str = DAILY,
        template: str = "checked",
        date: str = DAY,
        create_time: datetime = NOW,
        **parameters: str,
    ) -> Done:
        """Make the first attempt at the step of a new run, with these checks."""
        text = _TEMPLATE.replace("WRITE", write) + "".join(f"      - {check}\n" for check in checks)
        resolved = resolve(
            load_template(text.encode(), TemplateName("gcp", "test", template)),
            tenant_id=self.tenant_id,
            sources={},
            date=date,
            parameters=parameters,
            today=create_time.date(),
        )
        plan = Plan.of(resolved, trigger_by="", principal="")
        run = RunRef(str(uuid.uuid4()), resolved.pipeline_id, self.tenant_id, create_time)
        return await self.execute(
            Attempt(
                run,
                plan.steps[0],
                number=1,
                schedule_time=datetime.now(UTC),
                leaves_jobs=lambda: False,
                price=Price(Decimal("6.25")),
            )
        )

    async def execute(self, attempt: Attempt) -> Done:
        """Execute an attempt."""
        checks = Checks(self.warehouse, self.records, self._clock)
        publication = Publication(self.warehouse, checks, self._clock)
        executor = QueryExecutor(self.warehouse, StepAccounts(self.warehouse, None), checks, publication)
        assert attempt.step.query is not None
        try:
            await executor.run(attempt, attempt.step.query)
        except StepFailed as failed:
            return Done(attempt, failed)
        return Done(attempt, None)

    async def record(
        self, done: Done, status: RunStatus = RunStatus.COMPLETE, *, ago: timedelta = timedelta(hours=1)
    ) -> None:
        """Record an attempt as one that has succeeded, and its run as one that ended so, both as long ago before NOW."""
        run, time = done.attempt.run, NOW - ago
        record = AttemptRecord.of(done.attempt.step, done.attempt.result(), start_time=time, end_time=self._clock.now())
        await self.records.add_attempt(run, record)
        header = RunHeader(self.tenant_id, run.pipeline_id, "0" * 64, "", "", {})
        state = RunState((), status=status, start_time=time, end_time=time)
        await self.records.end_run(Run(run.pipeline_logging_id, time, header, state), attempt=1)

    async def published(self) -> Sequence[Row]:
        """The rows that are published, in one order."""
        return sorted(await self.warehouse.list_rows(TableRef(self.tenant_id, "published")), key=repr)

    async def results(self) -> list[dict[str, Any]]:
        """The rows of dq_results, their samples parsed."""
        rows = await self.warehouse.list_rows(TableRef(self.tenant_id, CHECKS))
        return [{**row, "sample": json.loads(str(row["sample"])) if row["sample"] else None} for row in rows]
