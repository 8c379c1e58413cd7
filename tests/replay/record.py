"""Records what a release leaves in the engine: `python -m tests.replay.record FOLDER` writes a history of each kind of run there.

`make histories` runs it when a version is released; `test_replay.py` then holds later code against the files.
"""

import asyncio
import json
import re
import sys
import tempfile
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

from temporalio.client import Client

from common.errors import JobAborted
from common.warehouse.warehouse import JobResult, Warehouse
from convergence.pipeline.v1 import pipeline_service_pb2 as pb2
from pipeline_service.run_id import workflow_id_of
from pipeline_service.temporal_connection import connect
from tests.rpc.held_warehouse import HeldWarehouse
from tests.rpc.pipeline_stack import DAY, PipelineStack, pipeline_stack
from tests.rpc.tenant_stack import tenant_stack
from tests.temporal import DevServer
from tests.warehouses import LocalServer

_PROCESS = re.compile(r"\b[0-9]+@[A-Za-z0-9_.-]+")
_TRACE = re.compile(r'"stackTrace": "(?:[^"\\]|\\.)*"')
_WHOSE = "0@recorded"
"""Stands for the process and the machine that a history names."""


class Faulty(HeldWarehouse):
    """A warehouse that also aborts the first wait for each job whose id has `aborted` in it, once that is set."""

    aborted = ""

    async def wait(self, job_id: str, *, timeout_seconds: float) -> JobResult:
        """Wait, or fail as a passing fault would have it."""
        if self.aborted and self.aborted in job_id:
            self.aborted = ""
            raise JobAborted("a passing fault")
        result: JobResult = await self.__getattr__("wait")(job_id, timeout_seconds=timeout_seconds)
        return result


class Recorder:
    """Runs templates of the tests, and writes down the workflows that came of it."""

    def __init__(self, stack: PipelineStack, warehouse: Faulty, client: Client, folder: Path) -> None:
        self._stack = stack
        self._warehouse = warehouse
        self._client = client
        self._folder = folder

    async def all(self) -> None:
        """Every kind."""
        scenarios = (
            self.complete,
            self.failed,
            self.retried,
            self.cancelled,
            self.under_way,
            self.request,
            self.backfill,
        )
        for scenario in scenarios:
            tenant_id, key = await self._stack.onboard()
            await scenario(tenant_id, key)
            await self._write(scenario, tenant_id)

    async def complete(self, tenant_id: str, key: Any) -> None:
        await self._stack.run(tenant_id, key)

    async def failed(self, tenant_id: str, key: Any) -> None:
        await self._stack.run(tenant_id, key, "strict")

    async def retried(self, tenant_id: str, key: Any) -> None:
        self._warehouse.aborted = "_stage_1"
        await self._stack.run(tenant_id, key)

    async def cancelled(self, tenant_id: str, key: Any) -> None:
        self._warehouse.hold()
        started = await self._stack.start(tenant_id, key)
        await self._warehouse.waiting.wait()
        workflow_id = workflow_id_of(tenant_id, started.pipeline_logging_id)
        assert workflow_id is not None
        await self._client.get_workflow_handle(workflow_id).cancel()
        await self._stack.end_of(key, started.pipeline_logging_id)
        self._warehouse.release()

    async def under_way(self, tenant_id: str, key: Any) -> None:
        self._warehouse.hold()
        await self._stack.start(tenant_id, key)
        await self._warehouse.waiting.wait()

    async def request(self, tenant_id: str, key: Any) -> None:
        self._warehouse.release()
        started: pb2.RunTemplateResponse = await self._stack.start(tenant_id, key, request_id=str(uuid.uuid4()))
        await self._stack.end_of(key, started.pipeline_logging_id)

    async def backfill(self, tenant_id: str, key: Any) -> None:
        """Two days, of which the first is active already."""
        self._warehouse.hold()
        await self._stack.start(tenant_id, key)
        await self._warehouse.waiting.wait()
        request = pb2.BackfillTemplateRequest(
            tenant_id=tenant_id,
            provider="gcp",
            domain="test",
            template_name="daily",
            start_date=DAY,
            end_date="2025-11-16",
        )
        started = await self._stack.stub.BackfillTemplate(request, metadata=key, timeout=30)
        await self._warehouse.arrivals.acquire()
        await self._warehouse.arrivals.acquire()
        self._warehouse.release()
        await self._stack.end_of(key, started.pipeline_logging_id)

    async def _write(self, scenario: Callable[..., Awaitable[None]], tenant_id: str) -> None:
        found: dict[str, str] = {}
        while not found:  # the listing lags behind
            async for workflow in self._client.list_workflows():
                if tenant_id in workflow.id:
                    found[workflow.id] = workflow.workflow_type.lower()
            await asyncio.sleep(0.05)
        for workflow_id, kind in found.items():
            history = await self._client.get_workflow_handle(workflow_id).fetch_history()
            text = json.dumps({"workflow_id": workflow_id, **history.to_json_dict()})
            anonymous = _TRACE.sub('"stackTrace": ""', _PROCESS.sub(_WHOSE, text))
            (self._folder / f"{scenario.__name__}_{kind}.json").write_text(f"{anonymous}\n")


async def record(folder: Path) -> None:
    """Start a stack, record, and stop it."""
    with tempfile.TemporaryDirectory() as directory:
        state = Path(directory)
        (state / "temporal").mkdir()
        (state / "warehouse").mkdir()
        engine, server = DevServer(state / "temporal"), LocalServer(state / "warehouse")
        engine.start()
        server.start()
        warehouse = Faulty(server.connect())
        try:
            shared = cast("Warehouse", warehouse)
            async with (
                tenant_stack(state, shared) as tenants,
                pipeline_stack(state, shared, tenants, engine.address) as stack,
            ):
                client = await connect(engine.address, namespace="default")
                await Recorder(stack, warehouse, client, folder).all()
        finally:
            warehouse.release()
            await warehouse.close()
            server.stop()
            engine.stop()


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True)
    asyncio.run(record(target))
