"""Backfills of one tenant on a real engine over the fake warehouse."""

import asyncio
from dataclasses import replace
from datetime import date

from common.errors import Terminal
from common.templates.load import load_template
from common.templates.resolve import resolve
from common.templates.template import TemplateName
from pipeline_service.backfill import Backfill, Day
from pipeline_service.backfill_plan import BackfillPlan
from pipeline_service.engine import Started
from pipeline_service.going_on import backfill_going_on
from pipeline_service.plan import Plan
from pipeline_service.run import Run, RunStatus
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.fake_warehouse import DAY

PATIENCE_SECONDS = 60.0
NAME = TemplateName("gcp", "cost", "bill")
TEXT = """
description: A row of a day
parameters:
  date: {type: date, required: true}
steps:
  - id: load
    type: query
    sql: SELECT @date AS day
    destination: {table: load_table, write: replace_partition, partition: {column: day, value: "{date}"}}
    timeout: 10m
"""
FIRST = "2025-11-01"
HELD = "load_stage_1"


class Days:
    """Backfills of one tenant, whose days last until they are let go."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._template = load_template(TEXT.encode(), NAME)
        lab.warehouse.selects[self._plan_of(FIRST).steps[0].query.select.sql] = [{"day": DAY}]  # type: ignore[union-attr]

    def plan(self, last: str, max_parallel: int = 2) -> BackfillPlan:
        """The plan of a backfill from FIRST on."""
        header = replace(self._plan_of(FIRST).header, parameters={}, work=f"backfill/{last}")
        backfill = Backfill.of(FIRST, last, max_parallel=max_parallel, skip_complete=False)
        return BackfillPlan(header, backfill, TEXT, {}, FIRST, first_look_seconds=0.5)

    async def start(self, last: str, max_parallel: int = 2) -> Started:
        """Start a backfill."""
        plan = self.plan(last, max_parallel)
        return await self.lab.engine.start(plan.workflow_id, plan)

    async def run_of(self, started: Started) -> Run:
        """It as it stands."""
        return (await self.lab.execution(started.pipeline_logging_id)).run

    async def days_of(self, started: Started) -> list[Day]:
        """Its days as they stand."""
        backfill = (await self.run_of(started)).state.backfill
        assert backfill is not None
        return backfill.days

    async def stand(self, started: Started, *expected: str) -> list[Day]:
        """Its days, once they stand like this."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while statuses(await self.run_of(started)) != list(expected):  # noqa: ASYNC110 - the engine says when it says
                await asyncio.sleep(0.02)
        return await self.days_of(started)

    async def end_of(self, started: Started) -> Run:
        """It once it has ended."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.lab.end_of(started)

    async def failed(self, plan: BackfillPlan) -> BackfillPlan:
        """Let a backfill fail: the plan of the one that goes on from it."""
        self.lab.warehouse.failures[HELD] = Terminal("no")
        ended = await self.end_of(await self.lab.engine.start(plan.workflow_id, plan))
        assert ended.state.status is RunStatus.FAILED
        del self.lab.warehouse.failures[HELD]
        again = await backfill_going_on(self.lab.engine, await self.lab.execution(ended.pipeline_logging_id))
        assert again is not None
        return again

    def hold(self) -> None:
        """Hold every day's run."""
        self.lab.warehouse.held[HELD].clear()

    def let_go(self) -> None:
        """Let them end."""
        self.lab.warehouse.held[HELD].set()

    def _plan_of(self, day: str) -> Plan:
        resolved = resolve(
            self._template,
            tenant_id=self.lab.tenant_id,
            sources={},
            date=day,
            parameters={},
            today=date.fromisoformat(FIRST),
        )
        return Plan.of(resolved, trigger_by="test", principal="key")


def statuses(run: Run) -> list[str]:
    assert run.state.backfill is not None
    return [day.status.value for day in run.state.backfill.days]
