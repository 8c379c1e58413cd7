"""CancelRun over a real connection: the run stops, its warehouse job at once, and nothing is published."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from common.errors import Terminal
from common.warehouse.warehouse import JobResult, Warehouse
from convergence.pipeline.v1 import pipeline_service_pb2 as pb2
from convergence.pipeline.v1 import run_pb2
from tests.rpc.held_warehouse import HeldWarehouse
from tests.rpc.pipeline_stack import PipelineStack, configs_with, pipeline_stack
from tests.rpc.statuses import refused
from tests.rpc.tenant_stack import tenant_stack
from tests.stubs.bigquery import BigQueryStub, connect
from tests.waiting import until
from tests.warehouses import LocalServer

LATER_TRY = 4
PATIENT_TEMPLATE = """
description: Tries often
steps:
  - id: load
    type: query
    sql: SELECT 1 AS number
    destination: {table: numbers, write: replace_table}
    max_attempts: 10
"""


class Watched(HeldWarehouse):
    """A warehouse whose staging jobs last until they are cancelled, and which notes what was."""

    def __init__(self, warehouse: Warehouse) -> None:
        super().__init__(warehouse)
        self.cancelled: list[str] = []
        self.part = "_stage_"
        self.lasting = asyncio.Event()
        """Set once such a job runs."""

    async def wait(self, job_id: str, *, timeout_seconds: float) -> JobResult:
        if self.part in job_id:
            self.lasting.set()
            await until(lambda: job_id in self.cancelled, seconds=30)
            raise Terminal("The job was cancelled")
        result: JobResult = await self.__getattr__("wait")(job_id, timeout_seconds=timeout_seconds)
        return result

    async def cancel(self, job_id: str) -> None:
        self.cancelled.append(job_id)
        await self.__getattr__("cancel")(job_id)


@pytest.fixture
async def watched(local_server: LocalServer) -> AsyncIterator[Watched]:
    warehouse = local_server.connect()
    yield Watched(warehouse)
    await warehouse.close()


@pytest.fixture
async def stack(watched: Watched, temporal_address: str, tmp_path: Path) -> AsyncIterator[PipelineStack]:
    warehouse = cast("Warehouse", watched)
    async with (
        tenant_stack(tmp_path, warehouse) as tenants,
        pipeline_stack(tmp_path, warehouse, tenants, temporal_address) as running,
    ):
        yield running


def cancel(stack: PipelineStack, key: Any, run_id: str) -> Any:
    return stack.stub.CancelRun(pb2.CancelRunRequest(pipeline_logging_id=run_id), metadata=key, timeout=20)


async def test_a_cancelled_run_stops_its_job_at_once_and_publishes_nothing(
    stack: PipelineStack, watched: Watched
) -> None:
    tenant_id, key = await stack.onboard()
    run_id = (await stack.start(tenant_id, key)).pipeline_logging_id
    await watched.lasting.wait()
    await cancel(stack, key, run_id)
    assert f"{run_id}_load_stage_1" in watched.cancelled, "before the call has its answer"
    run = await stack.end_of(key, run_id)
    assert run.status == run_pb2.Run.CANCELLED
    assert not run.HasField("error")
    assert [step.status for step in run.steps] == [run_pb2.Step.CANCELLED, run_pb2.Step.CANCELLED]
    read = pb2.ReadTableRequest(tenant_id=tenant_id, table="cost")
    assert (await refused(stack.stub.ReadTable(read, metadata=key, timeout=10))).reason == "TABLE_NOT_FOUND"
    assert await cancel(stack, key, run_id) == run, "cancelling again changes nothing"


async def test_a_run_that_has_ended_stays_as_it_is(stack: PipelineStack, watched: Watched) -> None:
    tenant_id, key = await stack.onboard()
    watched.part = "_nothing_"
    run = await stack.run(tenant_id, key, "list", date="")
    assert await cancel(stack, key, run.pipeline_logging_id) == run


async def test_many_cancel_at_once(stack: PipelineStack, watched: Watched) -> None:
    tenant_id, key = await stack.onboard()
    run_id = (await stack.start(tenant_id, key)).pipeline_logging_id
    await watched.lasting.wait()
    await asyncio.gather(*(cancel(stack, key, run_id) for _ in range(16)))
    assert (await stack.end_of(key, run_id)).status == run_pb2.Run.CANCELLED


async def test_a_job_of_a_later_try_is_cancelled_by_the_call_itself_while_no_worker_is_there(
    temporal_address: str, tmp_path: Path
) -> None:
    """Whoever executed the step is gone, so that nobody but CancelRun can have asked."""
    bigquery = BigQueryStub()
    held = HeldWarehouse(connect(bigquery.address))
    warehouse = cast("Warehouse", held)
    configs_dir = configs_with(tmp_path, {"patient": PATIENT_TEMPLATE})
    options: dict[str, Any] = {"configs_dir": configs_dir, "temporal_task_queue": uuid.uuid4().hex}
    async with (
        tenant_stack(tmp_path, warehouse, project=bigquery.project) as tenants,
        pipeline_stack(tmp_path, warehouse, tenants, temporal_address, role="api", **options) as stack,
    ):
        tenant_id, key = await stack.onboard(export=False)
        held.hold()
        run_id = (await stack.start(tenant_id, key, "patient", date="")).pipeline_logging_id
        for number in range(1, LATER_TRY):
            bigquery.faults.fail_job(f"{run_id}_load_stage_{number}", "backendError")
        latest = f"{run_id}_load_stage_{LATER_TRY}"
        bigquery.faults.hold_job(latest, polls=1_000_000)
        held.release()
        async with pipeline_stack(tmp_path, warehouse, tenants, temporal_address, role="worker", **options):
            await until(lambda: ("jobs.get", latest) in asked(bigquery), seconds=60)
        assert bigquery.outcomes()[latest] == "RUNNING"
        for _ in range(2):
            await cancel(stack, key, run_id)
            assert ("jobs.cancel", latest) in asked(bigquery)
        await until(lambda: bigquery.outcomes()[latest] == "stopped", seconds=30)
        async with pipeline_stack(tmp_path, warehouse, tenants, temporal_address, role="worker", **options):
            run = await stack.end_of(key, run_id)
        assert (run.status, run.HasField("error")) == (run_pb2.Run.CANCELLED, False)
        assert await cancel(stack, key, run_id) == run
        assert not [job_id for job_id in bigquery.outcomes() if "_publish_" in job_id]
    await warehouse.close()
    bigquery.close()


def asked(bigquery: BigQueryStub) -> list[tuple[str, str]]:
    """What the stub was asked of which job."""
    return [(call.method, call.job_id) for call in bigquery.calls]
