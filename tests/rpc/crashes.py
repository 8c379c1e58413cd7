"""kill -9 of TenantService after each of its changes: what a call leaves behind, and that calling again completes it."""

import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from common.api_keys.hashing import digest_of
from convergence.tenant.v1.tenant_service_pb2_grpc import TenantServiceStub
from tests.local_kms import KEY, EmulatorProcess
from tests.rpc.tenant_stack import ADMIN, as_key
from tests.stubs.bigquery import BigQueryStub

MOST_CRASHES = 20
AS_ADMIN = as_key(ADMIN.reveal())


class CrashingService:
    """TenantService on the stub of BigQuery, in processes that each make one change and die."""

    def __init__(self, stub: BigQueryStub, kms: EmulatorProcess, pipeline_service_address: str) -> None:
        self.kms_address = kms.address
        self._environment = {
            "CONVERGENCE_LISTEN_ADDRESS": "127.0.0.1:0",
            "CONVERGENCE_WAREHOUSE": "bigquery",
            "CONVERGENCE_BIGQUERY_ENDPOINT": stub.address.removeprefix("http://"),
            "CONVERGENCE_PROJECT": stub.project,
            "CONVERGENCE_ADMIN_KEY_HASHES": digest_of(ADMIN),
            "CONVERGENCE_PIPELINE_SERVICE_ADDRESS": pipeline_service_address,
            "CONVERGENCE_KMS_ENDPOINT": kms.address,
            "CONVERGENCE_KMS_TOKEN_FILE": str(kms.token_file),
            "GCP_KMS_KEY_NAME": KEY,
        }

    async def call_until_answered(self, call: Callable[[Any], Awaitable[Any]]) -> tuple[Any, int]:
        """Make a call, again and again until it is answered: the answer, and how many processes died before. What the next one finds is
        the state after exactly one more step."""
        for crashes in range(MOST_CRASHES):
            with _process(self._environment) as address:
                async with grpc.aio.insecure_channel(address) as channel:
                    try:
                        return await call(TenantServiceStub(channel)), crashes
                    except grpc.aio.AioRpcError as error:
                        if error.code() is not grpc.StatusCode.UNAVAILABLE:
                            raise
        raise AssertionError("the call makes no progress")


@contextmanager
def crashing_service(
    stub: BigQueryStub, folder: Path, *, pipeline_service_address: str = "127.0.0.1:1"
) -> Iterator[CrashingService]:
    """The service, with a KMS that outlives its processes, and by default no PipelineService."""
    with EmulatorProcess(folder, "--key", KEY) as kms:
        yield CrashingService(stub, kms, pipeline_service_address)


@contextmanager
def _process(environment: Mapping[str, str]) -> Iterator[str]:
    """The address of a TenantService that dies after its first change."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.rpc.crashing_tenant_service"],
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        events = (json.loads(line) for line in process.stderr)
        port = next(event["port"] for event in events if event["event"] == "listening")
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.communicate(timeout=30)
