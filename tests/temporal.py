"""Temporal's dev server for tests: one for each test process, its state in a temporary folder."""

import asyncio
import socket
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from local_stack.parts import MATCHING

_SERVICE = "temporal.api.workflowservice.v1.WorkflowService"


class DevServer:
    """The dev server on one port and one database file, which outlives its process."""

    def __init__(self, directory: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and return once it serves."""
        executable = Path(sysconfig.get_path("scripts")) / "temporal"
        arguments = ["server", "start-dev", "--ip", "127.0.0.1", "--port", str(self.port), "--headless"]
        arguments += ["--db-filename", str(self._directory / "temporal.db"), "--log-level", "error"]
        arguments += [f"--dynamic-config-value={value}" for value in MATCHING]
        with (self._directory / "temporal.log").open("ab") as log:
            self._process = subprocess.Popen([executable, *arguments], stdout=log, stderr=log)
        with grpc.insecure_channel(self.address) as channel:
            request = health_pb2.HealthCheckRequest(service=_SERVICE)
            health_pb2_grpc.HealthStub(channel).Check(request, wait_for_ready=True, timeout=60)

    def stop(self) -> None:
        """End the process, if it runs."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=30)
            self._process = None


@pytest.fixture(scope="session")
def temporal_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`host:port` of a server that all tests of this process share: give runs a tenant and a task queue of their own."""
    server = DevServer(tmp_path_factory.mktemp("temporal"))
    server.start()
    try:
        yield server.address
    finally:
        server.stop()


async def forget(client: Client, workflow_id: str) -> None:
    """Have the engine forget the last execution of a workflow, as an operator deletes it."""
    execution = WorkflowExecution(workflow_id=workflow_id)
    request = DeleteWorkflowExecutionRequest(namespace=client.namespace, workflow_execution=execution)
    await client.workflow_service.delete_workflow_execution(request)
    async with asyncio.timeout(60):
        while True:
            try:
                await client.get_workflow_handle(workflow_id).describe()
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND:
                    return
                raise
            await asyncio.sleep(0.05)
