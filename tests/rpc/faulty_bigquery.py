"""Runs on a BigQuery whose next faults a test names by the jobs of the run that is to meet them."""

from dataclasses import dataclass
from typing import Any

from common.warehouse.warehouse import Row, TableRef
from convergence.pipeline.v1 import run_pb2
from tests.rpc.held_warehouse import HeldWarehouse
from tests.rpc.pipeline_stack import PipelineStack
from tests.stubs.bigquery import BigQueryStub

MERGE_TEMPLATE = """
description: Merges a row
parameters:
  note: {type: string, default: none}
steps:
  - id: load
    type: query
    sql: SELECT 1 AS id, @note AS note
    destination: {table: merged, write: merge, keys: [id]}
"""


@dataclass
class FaultyBigQuery:
    """A running PipelineService over a stub of its own, and one tenant."""

    stack: PipelineStack
    stub: BigQueryStub
    held: HeldWarehouse
    tenant_id: str
    key: Any
    _runs: int = 0

    async def start(self, template_name: str = "daily") -> str:
        """Start a run, which no other resembles: its id. Its steps wait until `end_of`, so that faults can be named before."""
        self.held.hold()
        self._runs += 1
        fields: dict[str, Any] = {} if template_name == "daily" else {"date": ""}
        started = await self.stack.start(
            self.tenant_id, self.key, template_name, parameters={"note": f"run {self._runs}"}, **fields
        )
        await self.held.waiting.wait()
        return started.pipeline_logging_id

    async def end_of(self, run_id: str) -> run_pb2.Run:
        """Let the run go on, and see it end."""
        self.held.release()
        return await self.stack.end_of(self.key, run_id)

    def outcomes(self, run_id: str) -> dict[str, str]:
        """How the run's jobs ended, by what follows the run in their ids. Those that only count rows are left out."""
        return {
            job_id.removeprefix(f"{run_id}_"): outcome
            for job_id, outcome in self.stub.outcomes().items()
            if job_id.startswith(f"{run_id}_") and "-rows-" not in job_id
        }

    def submissions(self, job_id: str) -> int:
        """How often a job was submitted, whatever the answer."""
        return sum(call.method == "jobs.insert" and call.job_id == job_id for call in self.stub.calls)

    async def attempts(self, run_id: str) -> list[tuple[object, object, object]]:
        """The recorded attempts at the run's steps, in order: number, status, reason."""
        rows: list[Row] = [
            row
            for row in await self.stack.warehouse.list_rows(TableRef(self.tenant_id, "step_logs"))
            if row["pipeline_logging_id"] == run_id and row["step_id"] == "load"
        ]
        return sorted((row["attempt"], row["status"], row["error_reason"]) for row in rows)
