"""kill -9 of TenantService after each of Onboard's changes: calling again with the same request_id completes it, with one key."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from common.api_keys.hashing import digest, digest_of
from common.tenants.tenant import STATE
from common.warehouse.warehouse import TableRef
from convergence.tenant.v1 import tenant_service_pb2 as pb2
from convergence.tenant.v1.tenant_service_pb2_grpc import TenantServiceStub
from tests.local_kms import KEY, EmulatorProcess
from tests.rpc.tenant_stack import ADMIN, as_key
from tests.stubs.bigquery import BigQueryStub
from tests.warehouses import Connect

MOST_CHANGES = 20


@contextmanager
def crashing_after(changes: int, environment: dict[str, str]) -> Iterator[str]:
    """The address of a TenantService that dies after so many changes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.rpc.crashing_tenant_service", str(changes)],
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


@pytest.mark.parametrize("connect", ["bigquery"], indirect=True)
async def test_an_onboarding_killed_after_each_of_its_changes_is_completed_by_calling_again(
    connect: Connect, stub: BigQueryStub, tmp_path: Path
) -> None:
    warehouse = connect()
    tenant_id, request_id = f"t_{uuid.uuid4().hex[:16]}", str(uuid.uuid4())
    request = pb2.OnboardRequest(tenant_id=tenant_id, request_id=request_id)
    with EmulatorProcess(tmp_path, "--key", KEY) as kms:
        environment = {
            "CONVERGENCE_LISTEN_ADDRESS": "127.0.0.1:0",
            "CONVERGENCE_WAREHOUSE": "bigquery",
            "CONVERGENCE_BIGQUERY_ENDPOINT": stub.address.removeprefix("http://"),
            "CONVERGENCE_PROJECT": stub.project,
            "CONVERGENCE_ADMIN_KEY_HASHES": digest_of(ADMIN),
            "CONVERGENCE_PIPELINE_SERVICE_ADDRESS": "127.0.0.1:1",
            "CONVERGENCE_KMS_ENDPOINT": kms.address,
            "CONVERGENCE_KMS_TOKEN_FILE": str(kms.token_file),
            "GCP_KMS_KEY_NAME": KEY,
        }
        crashes = 0
        answer = None
        # Each process makes one change and dies: what the next one finds is the state after exactly one more step.
        while answer is None and crashes < MOST_CHANGES:
            with crashing_after(1, environment) as address:
                async with grpc.aio.insecure_channel(address) as channel:
                    try:
                        answer = await TenantServiceStub(channel).Onboard(
                            request, metadata=as_key(ADMIN.reveal()), timeout=60
                        )
                    except grpc.aio.AioRpcError as error:
                        if error.code() is not grpc.StatusCode.UNAVAILABLE:
                            raise
                        crashes += 1
    assert answer is not None
    assert crashes >= 6, "the dataset, the tables (made at once), the key, the sources, the state, the dry run's status"
    audit = await warehouse.list_rows(TableRef(tenant_id, "audit_log"))
    attempts = {row["audit_id"] for row in audit if row["phase"] == "ATTEMPT"}
    (ended,) = [row["audit_id"] for row in audit if row["phase"] == "OUTCOME"]
    assert ended in attempts
    assert len(attempts) >= 4, (
        "the key, the sources, the state, the dry run's status: each was begun by a call that did not end"
    )
    (row,) = await warehouse.list_rows(TableRef(tenant_id, "api_keys"))
    assert row["key_hash"] == digest(answer.api_key)
    assert (await warehouse.get_dataset(tenant_id)).labels[STATE] == "ready"
