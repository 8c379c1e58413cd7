"""What decides which steps of a run are executed, over a real connection and on both warehouses: conditions, failures that do not matter,
and the time that a run may take."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio

from common.warehouse.warehouse import JobResult, TableRef, Warehouse
from convergence.errors.v1 import error_reason_pb2
from convergence.pipeline.v1 import run_pb2
from tests.rpc.held_warehouse import HeldWarehouse
from tests.rpc.pipeline_stack import PipelineStack, configs_with, pipeline_stack
from tests.rpc.tenant_stack import tenant_stack
from tests.warehouses import LocalServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

_STEP = """  - id: {id}
    type: query
    sql: SELECT {sql} AS number
    destination: {{table: {id}_table, write: replace_table}}
{more}"""


def template(*steps: str, more: str = "") -> str:
    return (
        f"description: Of these tests\n{more}parameters:\n  limit: {{type: integer, default: 1}}\nsteps:\n"
        + "".join(steps)
    )


def step(name: str, *more: str, sql: str = "1") -> str:
    return _STEP.format(id=name, sql=sql, more="".join(f"    {line}\n" for line in more))


FAILING = "checks: [{type: row_count, min: 100}]"
TEMPLATES = {
    "conditions": template(
        step("first"),
        step("holds", "when: SELECT COUNT(*) = @limit FROM `{tenant_id}.first_table`"),
        step("fails", "when: SELECT COUNT(*) > @limit FROM `{tenant_id}.first_table`"),
        step("unknown", "when: SELECT number > 0 FROM `{tenant_id}.first_table` WHERE number > 1"),
        step("after_holds", "depends_on: [holds]"),
        step("after_fails", "depends_on: [fails]"),
    ),
    "no_condition": template(step("first"), step("second", "when: SELECT 'yes'", "max_attempts: 1")),
    "passed_over": template(
        step("broken", "on_failure: continue", FAILING),
        step("after", "depends_on: [broken]"),
        step("fine"),
    ),
    "stopped": template(step("broken", "on_failure: stop", FAILING), step("after", "depends_on: [broken]")),
    "hurried": template(step("slow"), step("after", "depends_on: [slow]"), more="timeout: 1s\n"),
}


class Slow(HeldWarehouse):
    """A warehouse on which what a step named slow stages takes until it is cancelled."""

    def __init__(self, warehouse: Warehouse) -> None:
        super().__init__(warehouse)
        self.cancelled: list[str] = []

    async def wait(self, job_id: str, *, timeout_seconds: float) -> JobResult:
        if "_slow_stage_" in job_id:
            await asyncio.Event().wait()
        result: JobResult = await self.__getattr__("wait")(job_id, timeout_seconds=timeout_seconds)
        return result

    async def cancel(self, job_id: str) -> None:
        self.cancelled.append(job_id)
        await self.__getattr__("cancel")(job_id)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(
    shared_warehouse: Warehouse, shared_folder: Path, temporal_address: str
) -> AsyncIterator[PipelineStack]:
    configs_dir = configs_with(shared_folder, TEMPLATES)
    async with (
        tenant_stack(shared_folder, shared_warehouse) as tenants,
        pipeline_stack(shared_folder, shared_warehouse, tenants, temporal_address, configs_dir=configs_dir) as running,
    ):
        yield running


async def run(stack: PipelineStack, name: str) -> tuple[str, Any, run_pb2.Run]:
    tenant_id, key = await stack.onboard(export=False)
    return tenant_id, key, await stack.run(tenant_id, key, name, date="")


def statuses(run: run_pb2.Run) -> dict[str, str]:
    return {step.step_id: run_pb2.Step.Status.Name(step.status) for step in run.steps}


async def test_a_step_whose_condition_does_not_hold_is_skipped_with_what_depends_on_it(stack: PipelineStack) -> None:
    tenant_id, _, ended = await run(stack, "conditions")
    assert ended.status == run_pb2.Run.COMPLETE, ended
    assert statuses(ended) == {
        "first": "COMPLETE",
        "holds": "COMPLETE",
        "fails": "SKIPPED",
        "unknown": "SKIPPED",
        "after_holds": "COMPLETE",
        "after_fails": "SKIPPED",
    }
    tables = {table.table for table in await stack.warehouse.list_tables(tenant_id)}
    assert {name for name in tables if name.endswith("_table")} == {"first_table", "holds_table", "after_holds_table"}


async def test_what_is_no_condition_fails_its_step(stack: PipelineStack) -> None:
    _, _, ended = await run(stack, "no_condition")
    assert (ended.status, ended.error.step_id) == (run_pb2.Run.FAILED, "second")
    assert ended.error.reason == error_reason_pb2.STATEMENT_FAILED
    assert "BOOL" in ended.error.message


async def test_a_failure_that_is_passed_over_stops_neither_the_run_nor_what_depends_on_it(stack: PipelineStack) -> None:
    tenant_id, key, ended = await run(stack, "passed_over")
    assert ended.status == run_pb2.Run.COMPLETE, ended
    assert not ended.HasField("error")
    assert statuses(ended) == {"broken": "FAILED", "after": "COMPLETE", "fine": "COMPLETE"}
    assert ended.steps[0].error.reason == error_reason_pb2.CHECK_FAILED
    assert await stack.rows(tenant_id, key, "after_table") == [{"number": "1"}]
    with pytest.raises(Exception, match="No run has published"):
        await stack.rows(tenant_id, key, "broken_table")


async def test_a_failure_stops_its_run_and_what_depends_on_it(stack: PipelineStack) -> None:
    _, _, ended = await run(stack, "stopped")
    assert (ended.status, ended.error.step_id) == (run_pb2.Run.FAILED, "broken")
    assert statuses(ended) == {"broken": "FAILED", "after": "SKIPPED"}


async def test_a_run_that_takes_too_long_fails_and_cancels_its_jobs(
    local_server: LocalServer, tmp_path: Path, temporal_address: str
) -> None:
    slow = Slow(local_server.connect())
    warehouse = cast("Warehouse", slow)
    configs_dir = configs_with(tmp_path, TEMPLATES)
    async with (
        tenant_stack(tmp_path, warehouse) as tenants,
        pipeline_stack(tmp_path, warehouse, tenants, temporal_address, configs_dir=configs_dir) as stack,
    ):
        tenant_id, _, ended = await run(stack, "hurried")
        (row,) = await warehouse.list_rows(TableRef(tenant_id, "pipeline_runs"))
    assert (ended.status, ended.error.reason) == (run_pb2.Run.FAILED, error_reason_pb2.RUN_TIMEOUT)
    assert statuses(ended) == {"slow": "CANCELLED", "after": "CANCELLED"}
    assert f"{ended.pipeline_logging_id}_slow_stage_1" in slow.cancelled
    assert (row["status"], row["error_reason"]) == ("FAILED", "RUN_TIMEOUT")
    await warehouse.close()
