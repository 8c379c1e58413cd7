"""kill -9 of TenantService after each of its changes: what a call leaves behind, and that calling again completes it."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

from common.api_keys.hashing import digest_of
from convergence.tenant.v1.tenant_service_pb2_grpc import TenantServiceStub
from tests.forking import forking
from tests.local_kms import KEY, TOKEN, emulator
from tests.rpc.crashing_tenant_service import serve_and_crash
from tests.rpc.tenant_stack import ADMIN, as_key
from tests.stubs.bigquery import BigQueryStub
from tests.waiting import until

MOST_CRASHES = 20
START_SECONDS, END_SECONDS = 60.0, 30.0
AS_ADMIN = as_key(ADMIN.reveal())


class CrashingService:
    """TenantService on the stub of BigQuery, in processes that each make one change and die."""

    def __init__(self, stub: BigQueryStub, folder: Path, kms_address: str, pipeline_service_address: str) -> None:
        self.kms_address = kms_address
        self._folder = folder
        token_file = folder / "kms-token"
        token_file.touch(mode=0o600)
        token_file.write_text(TOKEN)
        self._environment = {
            "CONVERGENCE_LISTEN_ADDRESS": "127.0.0.1:0",
            "CONVERGENCE_WAREHOUSE": "bigquery",
            "CONVERGENCE_BIGQUERY_ENDPOINT": stub.address.removeprefix("http://"),
            "CONVERGENCE_PROJECT": stub.project,
            "CONVERGENCE_ADMIN_KEY_HASHES": digest_of(ADMIN),
            "CONVERGENCE_PIPELINE_SERVICE_ADDRESS": pipeline_service_address,
            "CONVERGENCE_KMS_ENDPOINT": kms_address,
            "CONVERGENCE_KMS_TOKEN_FILE": str(token_file),
            "GCP_KMS_KEY_NAME": KEY,
        }

    async def call_until_answered(self, call: Callable[[Any], Awaitable[Any]]) -> tuple[Any, int]:
        """Make a call, again and again until it is answered: the answer, and how many processes died before. What the next one finds is
        the state after exactly one more step."""
        for crashes in range(MOST_CRASHES):
            log = self._folder / f"crashing-{uuid.uuid4().hex}.log"
            async with (
                _process(self._environment, log) as address,
                grpc.aio.insecure_channel(address) as channel,
            ):
                try:
                    return await call(TenantServiceStub(channel)), crashes
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise
        raise AssertionError("the call makes no progress")


@asynccontextmanager
async def crashing_service(
    stub: BigQueryStub, folder: Path, *, pipeline_service_address: str = "127.0.0.1:1"
) -> AsyncIterator[CrashingService]:
    """The service, with a KMS that outlives its processes, and by default no PipelineService."""
    async with emulator(folder / "kms-of-crashes") as kms_address:
        yield CrashingService(stub, folder, kms_address, pipeline_service_address)


@asynccontextmanager
async def _process(environment: Mapping[str, str], log: Path) -> AsyncIterator[str]:
    """The address of a TenantService that dies after its first change."""
    process = forking.Process(target=serve_and_crash, args=(environment, log), daemon=True)
    process.start()
    try:
        await until(lambda: _ports(log) or not process.is_alive(), START_SECONDS)
        [port] = _ports(log)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        await asyncio.to_thread(process.join, END_SECONDS)


def _ports(log: Path) -> list[int]:
    """Where a process listens, once it has said so in a whole line."""
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    events = (json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n"))
    return [event["port"] for event in events if event["event"] == "listening"]
