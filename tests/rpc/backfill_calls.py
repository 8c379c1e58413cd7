"""Backfills of a template whose days the test can hold and fail, over a real connection."""

import asyncio
from dataclasses import dataclass
from typing import Any

from common.warehouse.warehouse import QueryJob, Statement, TableRef
from convergence.pipeline.v1 import pipeline_service_pb2 as pb2
from convergence.pipeline.v1 import run_pb2
from tests.rpc.held_warehouse import HeldWarehouse
from tests.rpc.pipeline_stack import PipelineStack

PATIENCE_SECONDS = 60
FIRST, LAST = "2025-11-14", "2025-11-17"
DAYS = ("2025-11-14", "2025-11-15", "2025-11-16", "2025-11-17")
DAYS_TEMPLATE = """
description: Rows of a day, which there must be
parameters:
  date: {type: date, required: true, max: "2025-12-31"}
  note: {type: string, default: none}
steps:
  - id: first
    type: query
    sql: SELECT DATE(@date) AS day, 1 AS number
    destination: {table: first, write: replace_partition, partition: {column: day, value: "{date}"}}
    timeout: 2m
  - id: load
    type: query
    depends_on: [first]
    sql: SELECT * FROM `{source.export}` WHERE day = @date
    destination: {table: cost, write: replace_partition, partition: {column: day, value: "{date}"}}
    checks: [{type: row_count, min: 1}]
    timeout: 2m
"""
"""The export has rows for 2025-11-15 and 2025-11-16 only: of DAYS the first and the last fail until `mend`."""


@dataclass
class Backfills:
    """One tenant's calls."""

    stack: PipelineStack
    held: HeldWarehouse
    tenant_id: str
    key: Any

    def request(self, **fields: Any) -> pb2.BackfillTemplateRequest:
        """The request for DAYS, but for these fields."""
        wanted = {"provider": "gcp", "domain": "test", "template_name": "days", "start_date": FIRST, "end_date": LAST}
        return pb2.BackfillTemplateRequest(**{"tenant_id": self.tenant_id, **wanted, **fields})

    def call(self, **fields: Any) -> Any:
        """BackfillTemplate."""
        return self.stack.stub.BackfillTemplate(self.request(**fields), metadata=self.key, timeout=30)

    async def start(self, **fields: Any) -> str:
        """BackfillTemplate: the id."""
        return str((await self.call(**fields)).pipeline_logging_id)

    async def run(self, **fields: Any) -> run_pb2.Run:
        """A backfill to its end."""
        return await self.end_of(await self.start(**fields))

    async def start_run(self, template_name: str = "days", **fields: Any) -> str:
        """RunTemplate of one day: the id."""
        return str((await self.stack.start(self.tenant_id, self.key, template_name, **fields)).pipeline_logging_id)

    async def end_of(self, run_id: str) -> run_pb2.Run:
        """WatchRun to the end."""
        return await self.stack.end_of(self.key, run_id)

    async def get(self, run_id: str) -> run_pb2.Run:
        """GetRun."""
        request = pb2.GetRunRequest(pipeline_logging_id=run_id)
        run: run_pb2.Run = await self.stack.stub.GetRun(request, metadata=self.key, timeout=20)
        return run

    async def retry(self, run_id: str) -> str:
        """RetryRun: the new run's id."""
        request = pb2.RetryRunRequest(pipeline_logging_id=run_id)
        return str((await self.stack.stub.RetryRun(request, metadata=self.key, timeout=30)).pipeline_logging_id)

    def cancel(self, run_id: str) -> Any:
        """CancelRun."""
        request = pb2.CancelRunRequest(pipeline_logging_id=run_id)
        return self.stack.stub.CancelRun(request, metadata=self.key, timeout=20)

    async def stands(self, run_id: str, **counts: int) -> run_pb2.Run:
        """The backfill once so many of its days stand like this."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                run = await self.get(run_id)
                if all(getattr(run.backfill, f"{name}_days") == count for name, count in counts.items()):
                    return run
                await asyncio.sleep(0.05)

    async def all_ended(self) -> None:
        """Return once no run of the tenant is active."""
        request = pb2.ListRunsRequest(tenant_id=self.tenant_id)
        listed = await self.stack.stub.ListRuns(request, metadata=self.key, timeout=20)
        for run in listed.runs:
            await self.end_of(run.pipeline_logging_id)

    async def wait_in_line(self, *run_ids: str, places: list[int]) -> None:
        """Return once the runs, in whatever order, have these places in the tenant's queue."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while sorted([(await self.get(run_id)).queue_position for run_id in run_ids]) != places:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def mend(self, *days: str) -> None:
        """Give the source a row for each of these days."""
        source = TableRef(f"export_{self.tenant_id}", "rows")
        for day in days:
            sql = f"INSERT INTO `{source}` (day, service) VALUES (DATE '{day}', 'late')"
            job = QueryJob(f"mend-{self.tenant_id}-{day}", Statement(sql))
            await self.stack.warehouse.submit(job)
            await self.stack.warehouse.wait(job.job_id, timeout_seconds=60)

    async def rows(self, table: str) -> list[Any]:
        """The rows of one of the tenant's metadata tables."""
        return list(await self.stack.warehouse.list_rows(TableRef(self.tenant_id, table)))


async def most_at_once(backfills: Backfills, run_id: str) -> int:
    """The most runs of a backfill that were active at one moment, as their records tell."""
    rows = [row for row in await backfills.rows("pipeline_runs") if row["backfill_of"] == run_id and row["start_time"]]
    times: list[tuple[Any, Any]] = [(row["start_time"], row["end_time"]) for row in rows]
    most: int = max(sum(begin <= moment < end for begin, end in times) for moment, _ in times)
    return most


def statuses(run: run_pb2.Run) -> list[str]:
    """How the days of a backfill stand, in order."""
    return [run_pb2.Backfill.DayStatus.Name(day.status) for day in run.backfill.days]
