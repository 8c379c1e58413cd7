"""A process that only answers calls and one that only executes runs: together they are a service, and each scales by itself."""

import uuid
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from convergence.pipeline.v1 import run_pb2
from tests.rpc.pipeline_stack import pipeline_stack
from tests.rpc.tenant_stack import tenant_stack
from tests.warehouses import LocalServer


async def test_a_run_waits_for_a_worker_which_itself_answers_no_calls(
    local_server: LocalServer, temporal_address: str, tmp_path: Path
) -> None:
    warehouse = local_server.connect()
    shared = {"temporal_task_queue": uuid.uuid4().hex}
    async with tenant_stack(tmp_path, warehouse) as tenants:
        (tmp_path / "api").mkdir()
        (tmp_path / "worker").mkdir()
        async with pipeline_stack(tmp_path / "api", warehouse, tenants, temporal_address, role="api", **shared) as api:
            tenant_id, key = await api.onboard()
            started = await api.start(tenant_id, key)
            assert started.status == run_pb2.Run.PENDING
            async with pipeline_stack(
                tmp_path / "worker", warehouse, tenants, temporal_address, role="worker", **shared
            ) as worker:
                assert (await api.end_of(key, started.pipeline_logging_id)).status == run_pb2.Run.COMPLETE
                with pytest.raises(grpc.aio.AioRpcError) as refusal:
                    await worker.start(tenant_id, key)
                assert refusal.value.code() is grpc.StatusCode.UNIMPLEMENTED
                async with grpc.aio.insecure_channel(worker.address) as channel:
                    health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
                assert health.status == health_pb2.HealthCheckResponse.SERVING
    await warehouse.close()
