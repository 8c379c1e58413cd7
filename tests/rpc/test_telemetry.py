"""What is told of a real run: one trace from the client to the warehouse's jobs, through three processes, measurements that add up, and
no secret."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
import pytest_asyncio
from opentelemetry import context as otel
from opentelemetry import trace

from common.encryption.kms import CloudKms
from common.rpc.run_service import CLOSING_SECONDS
from common.warehouse.warehouse import Warehouse
from convergence.pipeline.v1 import pipeline_service_pb2 as pb2
from convergence.pipeline.v1 import run_pb2
from convergence.pipeline.v1.pipeline_service_pb2_grpc import PipelineServiceStub
from convergence.tenant.v1 import credential_pb2
from convergence.tenant.v1.tenant_service_pb2_grpc import TenantServiceStub
from convergence.tracing import tracing_interceptors
from tests.local_kms import KEY, TOKEN, EmulatorProcess
from tests.otlp_receiver import Receiver, Span, receiver
from tests.rpc.pipeline_stack import DAY, TEMPLATES, PipelineStack, configs_with, onboard
from tests.rpc.service_process import environment_of, service_process
from tests.rpc.tenant_stack import ADMIN, ScriptedRunner, TenantStack, tenant_stack
from tests.service_accounts import key_file
from tests.waiting import until
from tests.warehouses import LocalServer

NOTE = "what-the-caller-notes"
NEVER = "3600"
"""Seconds between exports of metrics: they come with the end of a process, or not at all."""
PIPELINES = "convergence.pipeline.v1.PipelineService"
LATE_SECONDS = 30.0
"""How late a busy machine may be."""
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Told:
    """What was done, and what the receiver heard of it until the processes had ended."""

    otlp: Receiver
    trace_id: str
    client_span_id: str
    tenant_id: str
    run_id: str
    refused_run_id: str
    secrets: dict[str, str]
    log_lines: list[dict[str, Any]]


@pytest.fixture(scope="module")
def kms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    with EmulatorProcess(tmp_path_factory.mktemp("kms"), "--key", KEY) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told(
    local_server: LocalServer, temporal_address: str, kms: EmulatorProcess, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Told]:
    folder = tmp_path_factory.mktemp("telemetry")
    warehouse = local_server.connect()
    with receiver() as otlp:
        environment = environment_of(
            folder,
            local_server,
            kms,
            temporal_address=temporal_address,
            temporal_task_queue=uuid.uuid4().hex,
            configs_dir=str(configs_with(folder, TEMPLATES)),
            otlp_endpoint=otlp.address,
            metric_interval_seconds=NEVER,
        )
        with (
            service_process("pipeline_service", folder / "api", {**environment, "CONVERGENCE_ROLE": "api"}) as api,
            service_process(
                "pipeline_service", folder / "worker", {**environment, "CONVERGENCE_ROLE": "worker"}
            ) as worker,
        ):
            for process in (api, worker):
                process.until_logged("serving")
            environment["CONVERGENCE_PIPELINE_SERVICE_ADDRESS"] = api.address
            with service_process("tenant_service", folder / "tenants", environment) as tenants:
                tenants.until_logged("serving")
                done = await _life(otlp, warehouse, tenants.address, api.address)
                for process in (tenants, api, worker):
                    process.terminate()
                for process in (tenants, api, worker):
                    assert await asyncio.to_thread(process.exit_status, seconds=CLOSING_SECONDS + LATE_SECONDS) == 0
                done.log_lines = [line for each in (tenants, api, worker) for line in each.events()]
        yield done
    await warehouse.close()


async def _life(otlp: Receiver, warehouse: Warehouse, tenants_address: str, pipelines_address: str) -> Told:
    """A tenant is onboarded, stores a credential and runs two templates, of which one fails its check, all within one trace."""
    ours = trace.SpanContext(uuid.uuid4().int, uuid.uuid4().int >> 64, False, trace.TraceFlags(1))
    token = otel.attach(trace.set_span_in_context(trace.NonRecordingSpan(ours)))
    try:
        async with (
            grpc.aio.insecure_channel(tenants_address, interceptors=tracing_interceptors()) as to_tenants,
            grpc.aio.insecure_channel(pipelines_address, interceptors=tracing_interceptors()) as to_pipelines,
        ):
            tenants, pipelines = TenantServiceStub(to_tenants), PipelineServiceStub(to_pipelines)
            stack = TenantStack(tenants, ScriptedRunner(), cast("CloudKms", None), tenants_address)
            tenant_id, as_tenant = await onboard(warehouse, stack)
            credential = key_file()
            put = credential_pb2.PutCredentialRequest(tenant_id=tenant_id, name="robot", gcp_service_account=credential)
            await tenants.PutCredential(put, metadata=stack.as_admin, timeout=60)

            async def run(name: str) -> Any:
                request = pb2.RunTemplateRequest(
                    tenant_id=tenant_id,
                    provider="gcp",
                    domain="test",
                    template_name=name,
                    date=DAY,
                    parameters={"note": NOTE} if name == "daily" else {},
                )
                started = await pipelines.RunTemplate(request, metadata=as_tenant, timeout=60)
                watch = pb2.WatchRunRequest(pipeline_logging_id=started.pipeline_logging_id)
                return [each async for each in pipelines.WatchRun(watch, metadata=as_tenant, timeout=60)][-1]

            daily, strict = await run("daily"), await run("strict")
    finally:
        otel.detach(token)
    assert (daily.status, strict.status) == (run_pb2.Run.COMPLETE, run_pb2.Run.FAILED)
    return Told(
        otlp,
        trace.format_trace_id(ours.trace_id),
        trace.format_span_id(ours.span_id),
        tenant_id,
        daily.pipeline_logging_id,
        strict.pipeline_logging_id,
        {"API key": as_tenant[0][1], "admin key": ADMIN.reveal(), "credential": credential},
        [],
    )


def ancestors(told: Told, span: Span) -> list[Span]:
    """A span and whatever it is within, up to what the client's own span is the parent of."""
    by_id = {each.span_id: each for each in told.otlp.spans}
    chain = [span]
    while chain[-1].parent_id != told.client_span_id:
        chain.append(by_id[chain[-1].parent_id])
    return chain


async def test_one_trace_leads_from_the_client_through_the_engine_to_the_job_that_publishes(told: Told) -> None:
    (job,) = told.otlp.named("warehouse replace", convergence_job_id=f"{told.run_id}_load_publish_1")
    chain = ancestors(told, job)
    assert [span.name for span in chain] == [
        "warehouse replace",
        "RunActivity:run_step",
        "RunWorkflow:Run",
        "StartWorkflow:Run",
        f"{PIPELINES}/RunTemplate",
    ]
    assert {span.trace_id for span in chain} == {told.trace_id}
    assert job.attributes["db.collection.name"] == f"{told.tenant_id}.cost"
    assert job.attributes["convergence.rows"] == 2
    *in_worker, started, called = [span.resource["service.instance.id"] for span in chain]
    assert len(set(in_worker)) == 1
    assert started == called != in_worker[0]
    step, run, start = chain[1:4]
    assert step.attributes["convergence.step.id"] == "load"
    for span in (step, run, start):
        assert span.attributes["convergence.tenant_id"] == told.tenant_id
        assert span.attributes["convergence.pipeline_logging_id"] == told.run_id
        assert span.attributes["convergence.pipeline_id"] == f"{told.tenant_id}-gcp-test-daily"
    assert run.nanoseconds[0] <= step.nanoseconds[0] < step.nanoseconds[1] <= run.nanoseconds[1]


async def test_the_dry_run_of_a_new_tenant_belongs_to_the_trace_of_its_onboarding(told: Told) -> None:
    (run,) = told.otlp.named("RunWorkflow:Run", convergence_pipeline_id=f"{told.tenant_id}-gcp-example-dryrun")
    assert [(span.name, span.resource["service.name"]) for span in ancestors(told, run)[2:]] == [
        (f"{PIPELINES}/RunTemplate", "pipeline_service"),
        ("convergence.tenant.v1.TenantService/Onboard", "tenant_service"),
    ]


async def test_every_span_has_its_parent_in_the_trace_and_nothing_is_told_outside_of_one(told: Told) -> None:
    spans = told.otlp.spans
    ids = [span.span_id for span in spans]
    assert len(ids) == len(set(ids)), "nothing is told twice"
    assert {span.trace_id for span in spans} == {told.trace_id}
    assert {span.parent_id for span in spans} <= {*ids, told.client_span_id}


async def test_a_run_that_fails_its_check_is_an_error_with_its_reason_and_without_its_words(told: Told) -> None:
    (run,) = told.otlp.named("RunWorkflow:Run", convergence_pipeline_logging_id=told.refused_run_id)
    (step,) = told.otlp.named("RunActivity:run_step", convergence_pipeline_logging_id=told.refused_run_id)
    assert run.is_error
    assert step.is_error
    assert run.attributes["convergence.run.status"] == "FAILED"
    assert run.attributes["error.type"] == step.attributes["error.type"] == "CHECK_FAILED"
    assert sum(span.is_error for span in told.otlp.spans) == 2


@pytest.mark.parametrize(
    ("name", "attributes", "total"),
    [
        ("rpc.server.call.duration", {"rpc_method": f"{PIPELINES}/RunTemplate", "rpc_response_status_code": "OK"}, 3),
        ("rpc.server.call.duration", {"rpc_method": "convergence.tenant.v1.TenantService/Onboard"}, 1),
        ("convergence.calls.refused", {}, 0),
        ("convergence.runs.begun", {}, 3),
        ("convergence.run.duration", {"convergence_run_status": "COMPLETE"}, 2),
        (
            "convergence.run.duration",
            {"convergence_run_status": "FAILED", "convergence_template": "gcp-test-strict"},
            1,
        ),
        ("convergence.step.duration", {"convergence_step_type": "query", "convergence_step_status": "COMPLETE"}, 2),
        ("convergence.step.duration", {"convergence_step_type": "query", "convergence_step_status": "FAILED"}, 1),
        ("convergence.step.duration", {"convergence_step_type": "dq"}, 2),
        ("convergence.step.attempts", {}, 5),
        ("convergence.step.attempts", {"error_type": "CHECK_FAILED"}, 1),
        ("convergence.checks.failed", {"convergence_check_severity": "error"}, 1),
        ("convergence.auth.lookups", {"convergence_cache": "keys"}, 6),
        ("convergence.auth.lookups", {"convergence_cache": "keys", "convergence_cache_result": "miss"}, 1),
        ("db.client.operation.duration", {"db_operation_name": "replace"}, 2),
    ],
)
async def test_what_is_measured_adds_up(told: Told, name: str, attributes: dict[str, str], total: int) -> None:
    assert told.otlp.total(name, **attributes) == total


async def test_bytes_that_are_read_are_those_that_the_spans_tell(told: Told) -> None:
    reads = told.otlp.named("warehouse read")
    for name in ("bytes_processed", "bytes_billed"):
        in_spans = sum(span.attributes[f"convergence.{name}"] for span in reads)
        assert told.otlp.total(f"convergence.warehouse.{name}", db_operation_name="read") == in_spans > 0


async def test_metrics_name_no_tenant_run_or_key(told: Told) -> None:
    for point in told.otlp.points:
        for value in map(str, point.attributes.values()):
            assert told.tenant_id not in value
            assert told.run_id not in value
        assert point.unit


async def test_no_secret_value_or_statement_is_told(told: Told) -> None:
    everything = told.otlp.everything
    for what, secret in told.secrets.items():
        assert secret.encode() not in everything, what
    for text in (NOTE, "PRIVATE KEY", "private_key", "SELECT", "select ", TOKEN, "_api_", "Bearer"):
        assert text.encode() not in everything.replace(b"_api_keys", b"").replace(b".api_keys", b""), text


async def test_the_log_line_of_every_call_names_the_trace(told: Told) -> None:
    calls = [line for line in told.log_lines if line["event"] == "call"]
    assert len(calls) == 8
    assert {line["trace_id"] for line in calls} == {told.trace_id}


@pytest.mark.parametrize("then", ["away", "hanging"])
async def test_a_receiver_that_dies_while_a_run_is_under_way_costs_neither_the_run_nor_the_end_of_the_process(
    local_server: LocalServer, temporal_address: str, kms: EmulatorProcess, tmp_path: Path, then: str
) -> None:
    warehouse = local_server.connect()
    with receiver() as otlp:
        environment = environment_of(
            tmp_path,
            local_server,
            kms,
            temporal_address=temporal_address,
            temporal_task_queue=uuid.uuid4().hex,
            configs_dir=str(configs_with(tmp_path, TEMPLATES)),
            shutdown_grace_seconds="1",
            otlp_endpoint=otlp.address,
            metric_interval_seconds="0.1",
        )
        with service_process("pipeline_service", tmp_path / "log", environment) as process:
            process.until_logged("serving")
            async with (
                tenant_stack(tmp_path, warehouse, kms_address=kms.address) as tenants,
                grpc.aio.insecure_channel(process.address) as channel,
            ):
                tenant_id, key = await onboard(warehouse, tenants)
                stack = PipelineStack(PipelineServiceStub(channel), warehouse, tenants, process.address)
                started = await stack.start(tenant_id, key)
                await until(lambda: otlp.metrics, LATE_SECONDS)
                if then == "away":
                    otlp.stop()
                else:
                    otlp.hang()
                    await asyncio.to_thread(otlp.held.wait, LATE_SECONDS)
                assert (await stack.end_of(key, started.pipeline_logging_id)).status == run_pb2.Run.COMPLETE
                assert (await stack.run(tenant_id, key, parameters={"note": "again"})).status == run_pb2.Run.COMPLETE
                process.terminate()
                assert await asyncio.to_thread(process.exit_status, seconds=1 + CLOSING_SECONDS + LATE_SECONDS) == 0
        assert len(process.logged("telemetry is not sent")) <= 1
        assert not [line for line in process.events() if "Failed to export" in line["event"]]
    await warehouse.close()
