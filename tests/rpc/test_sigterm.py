"""SIGTERM, to real processes: what is under way ends well or is handed on, and the process ends with status 0 in time."""

import asyncio
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.rpc.run_service import CLOSING_SECONDS
from convergence.pipeline.v1 import pipeline_service_pb2 as pb2
from convergence.pipeline.v1 import run_pb2
from convergence.pipeline.v1.pipeline_service_pb2_grpc import PipelineServiceStub
from convergence.tenant.v1 import tenant_service_pb2
from convergence.tenant.v1.tenant_service_pb2_grpc import TenantServiceStub
from tests.local_kms import KEY, EmulatorProcess
from tests.rpc.pipeline_stack import TEMPLATES, configs_with
from tests.rpc.service_process import ServiceProcess, environment_of, service_process
from tests.rpc.statuses import outcome_of, refusal_of
from tests.rpc.tenant_stack import TenantStack, as_key, tenant_stack
from tests.warehouses import LocalServer

GRACE_SECONDS = 1.0
CANCEL_SECONDS = 6.0
"""How long CancelRuns takes at least."""
BUSY_SECONDS = 20.0
"""How late a busy machine may be with what it does in time."""
LONG_STEP = """
description: Works for some seconds
steps:
  - id: load
    type: query
    sql: SELECT COUNT(*) AS n FROM UNNEST(GENERATE_ARRAY(1, 20000)) AS a, UNNEST(GENERATE_ARRAY(1, 20000)) AS b WHERE MOD(a * b, 7) = 3
    destination: {table: counted, write: replace_table}
    timeout: 5m
"""
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture(scope="module")
def kms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    with EmulatorProcess(tmp_path_factory.mktemp("kms"), "--key", KEY) as running:
        yield running


def channel_to(process: ServiceProcess) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(process.address, [("grpc.use_local_subchannel_pool", 1)])


def ended_well(process: ServiceProcess, *, since: float, within: float) -> None:
    """The process ends with status 0 in time. (The bound is what counts: the process ends itself beyond it, with status 1.)"""
    assert process.exit_status(seconds=within + CLOSING_SECONDS + BUSY_SECONDS) == 0
    assert time.monotonic() - since < within + CLOSING_SECONDS + BUSY_SECONDS


async def taken_up(channel: grpc.aio.Channel) -> None:
    """What was called over the channel before this is under way: calls are taken up in the order in which they come."""
    await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60)


def engine(temporal_address: str) -> dict[str, str]:
    """Settings that name the run engine, and a queue of the test's own."""
    return {"temporal_address": temporal_address, "temporal_task_queue": uuid.uuid4().hex}


async def onboarded(tenants: TenantStack) -> tuple[str, Any]:
    """A new tenant, and the metadata of its key."""
    request = tenant_service_pb2.OnboardRequest(tenant_id=f"t_{uuid.uuid4().hex[:12]}")
    answer = await tenants.stub.Onboard(request, metadata=tenants.as_admin, timeout=60)
    return request.tenant_id, as_key(answer.api_key)


async def rest_of(watch: Any) -> list[Any]:
    """What else a health watch tells to its end, which must be UNAVAILABLE."""
    states = []
    try:
        async for answer in watch:
            states.append(answer.status)
    except grpc.aio.AioRpcError as error:
        states.append(error.code())
    return states


async def test_a_call_under_way_finishes_health_says_so_first_and_new_calls_are_refused(
    local_server: LocalServer, temporal_address: str, kms: EmulatorProcess, tmp_path: Path
) -> None:
    environment = environment_of(
        tmp_path,
        local_server,
        kms,
        **engine(temporal_address),
        shutdown_grace_seconds="60",
        auth_bound_seconds="1",
        cancel_margin_seconds=str(CANCEL_SECONDS - 1),
    )
    warehouse = local_server.connect()
    with service_process("pipeline_service", tmp_path / "log", environment) as process:
        process.until_logged("serving")
        async with (
            tenant_stack(tmp_path, warehouse, kms_address=kms.address) as tenants,
            channel_to(process) as channel,
        ):
            tenant_id, _ = await onboarded(tenants)
            suspend = tenant_service_pb2.SuspendTenantRequest(tenant_id=tenant_id)
            await tenants.stub.SuspendTenant(suspend, metadata=tenants.as_admin, timeout=60)
            request = pb2.CancelRunsRequest(tenant_id=tenant_id)
            called = time.monotonic()
            under_way = PipelineServiceStub(channel).CancelRuns(request, metadata=tenants.as_admin, timeout=120)
            await taken_up(channel)
            watch = aiter(health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest()))
            assert (await anext(watch)).status == SERVING
            process.terminate()
            assert await asyncio.wait_for(rest_of(watch), 30) == [NOT_SERVING, grpc.StatusCode.UNAVAILABLE]
            async with channel_to(process) as late:
                with pytest.raises(grpc.aio.AioRpcError) as told:
                    await PipelineServiceStub(late).CancelRuns(request, metadata=tenants.as_admin, timeout=30)
                assert told.value.code() is grpc.StatusCode.UNAVAILABLE
            assert await outcome_of(under_way) == ("OK", "")
            ended = time.monotonic()
            assert ended - called > CANCEL_SECONDS, "it took its time"
            await asyncio.to_thread(ended_well, process, since=ended, within=0.0)
        assert [call["method"].rpartition("/")[2] for call in process.logged("call")] == ["CancelRuns"]
    await warehouse.close()


async def test_a_call_that_does_not_finish_in_time_is_unavailable_and_the_process_ends_all_the_same(
    local_server: LocalServer, kms: EmulatorProcess, tmp_path: Path
) -> None:
    environment = environment_of(tmp_path, local_server, kms, shutdown_grace_seconds="1", auth_wait_seconds="60")
    with service_process("tenant_service", tmp_path / "log", environment) as process:
        process.until_logged("serving")
        async with channel_to(process) as channel:
            local_server.hang()
            try:
                request = tenant_service_pb2.GetTenantRequest(tenant_id="acme_corp")
                nobody = as_key(f"acme_corp_api_{'x' * 16}")
                under_way = TenantServiceStub(channel).GetTenant(request, metadata=nobody, timeout=120)
                await taken_up(channel)
                began = time.monotonic()
                process.terminate()
                with pytest.raises(grpc.aio.AioRpcError) as told:
                    await under_way
                refusal = refusal_of(told.value)
                assert (refusal.code, refusal.reason, refusal.retry) == ("UNAVAILABLE", "DEPENDENCY_UNAVAILABLE", True)
                assert "stopping" in str(told.value.details())
                await asyncio.to_thread(ended_well, process, since=began, within=1.0)
            finally:
                local_server.go_on()


async def test_watchers_are_sent_on_and_a_step_in_progress_goes_on_elsewhere(
    local_server: LocalServer, temporal_address: str, kms: EmulatorProcess, tmp_path: Path
) -> None:
    environment = environment_of(
        tmp_path,
        local_server,
        kms,
        shutdown_grace_seconds=str(GRACE_SECONDS),
        **engine(temporal_address),
        configs_dir=str(configs_with(tmp_path, {**TEMPLATES, "long": LONG_STEP})),
    )
    warehouse = local_server.connect()
    async with tenant_stack(tmp_path, warehouse, kms_address=kms.address) as tenants:
        tenant_id, key = await onboarded(tenants)
        with (
            service_process("pipeline_service", tmp_path / "first", environment) as first,
            service_process(
                "pipeline_service", tmp_path / "second", {**environment, "CONVERGENCE_ROLE": "api"}
            ) as second,
        ):
            first.until_logged("serving")
            second.until_logged("serving")
            async with channel_to(first) as channel:
                stub: Any = PipelineServiceStub(channel)
                request = pb2.RunTemplateRequest(
                    tenant_id=tenant_id, provider="gcp", domain="test", template_name="long"
                )
                run_id = (await stub.RunTemplate(request, metadata=key, timeout=30)).pipeline_logging_id
                watch = pb2.WatchRunRequest(pipeline_logging_id=run_id)
                watching = [asyncio.create_task(_watched(stub.WatchRun(watch, metadata=key))) for _ in range(20)]
                async for run in stub.WatchRun(watch, metadata=key, timeout=60):
                    if run.steps[0].status == run_pb2.Step.RUNNING:
                        break
                local_server.hang()  # the step's job stands still, and so does whoever asks for it
                try:
                    began = time.monotonic()
                    first.terminate()
                    for runs, refusal in await asyncio.gather(*watching):
                        assert runs, "a watcher had the run as it stood"
                        assert (refusal.code, refusal.retry) == ("UNAVAILABLE", True)
                    await asyncio.to_thread(ended_well, first, since=began, within=GRACE_SECONDS)
                finally:
                    local_server.go_on()
            async with channel_to(second) as other:
                again = aiter(PipelineServiceStub(other).WatchRun(watch, metadata=key, timeout=120))
                assert (await anext(again)).status == run_pb2.Run.RUNNING
                with service_process("pipeline_service", tmp_path / "third", environment):
                    seen = [run async for run in again]
                assert seen[-1].status == run_pb2.Run.COMPLETE, seen[-1]
    await warehouse.close()


async def _watched(call: Any) -> tuple[list[Any], Any]:
    """What a watcher saw, and how it was refused in the end."""
    runs = []
    try:
        async for run in call:
            runs.append(run)
    except grpc.aio.AioRpcError as error:
        return runs, refusal_of(error)
    raise AssertionError("the watch came to its end")


async def test_a_process_that_waits_for_the_run_engine_can_be_stopped(
    local_server: LocalServer, kms: EmulatorProcess, tmp_path: Path
) -> None:
    environment = environment_of(tmp_path, local_server, kms, temporal_address="127.0.0.1:1")
    with service_process("pipeline_service", tmp_path / "log", environment) as process:
        process.until_logged("run engine is away")
        began = time.monotonic()
        process.terminate()
        await asyncio.to_thread(ended_well, process, since=began, within=0.0)


async def test_calls_are_still_taken_during_the_delay_when_health_says_not_serving_already(
    local_server: LocalServer, kms: EmulatorProcess, tmp_path: Path
) -> None:
    environment = environment_of(tmp_path, local_server, kms, shutdown_delay_seconds="3")
    with service_process("tenant_service", tmp_path / "log", environment) as process:
        process.until_logged("serving")
        async with channel_to(process) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            began = time.monotonic()
            process.terminate()
            states = []

            async def look() -> bool:
                states.append((await health.Check(health_pb2.HealthCheckRequest(), timeout=10)).status)
                return bool(states[-1] == NOT_SERVING)

            while not await look():
                pass
            call = TenantServiceStub(channel).ListTenants(tenant_service_pb2.ListTenantsRequest(), timeout=10)
            assert await outcome_of(call) == ("UNAUTHENTICATED", "API_KEY_INVALID")
        await asyncio.to_thread(ended_well, process, since=began, within=13.0)
