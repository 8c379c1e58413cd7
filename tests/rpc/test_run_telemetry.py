"""What is told of runs that wait, that are tried again and that are joined; and that telling adds nothing that would not replay."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from opentelemetry import metrics, trace

from common.telemetry.open import open_telemetry
from common.telemetry.settings import TelemetrySettings
from common.telemetry.telemetry import Telemetry
from common.warehouse.warehouse import Warehouse
from convergence.pipeline.v1 import run_pb2
from pipeline_service.run_id import workflow_id_of
from pipeline_service.run_telemetry import RunTelemetry
from pipeline_service.temporal_connection import connect
from tests.otlp_receiver import Receiver, receiver
from tests.replay.record import Faulty
from tests.replay.recorded import HISTORIES, recorded_in, replay
from tests.rpc.pipeline_stack import PipelineStack, pipeline_stack
from tests.rpc.tenant_stack import tenant_stack
from tests.waiting import until
from tests.warehouses import LocalServer

PATIENCE_SECONDS = 60.0
INTERVAL_SECONDS = 0.2
TOLD_TO_NOBODY = Telemetry(trace.NoOpTracer(), metrics.NoOpMeter("none"))


RUN_TEMPLATE = "convergence.pipeline.v1.PipelineService/RunTemplate"
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACED = (("traceparent", f"00-{TRACE}-{CALLER}-01"), ("tracestate", "vendor=text-of-a-caller"))


@asynccontextmanager
async def telling(
    folder: Path, warehouse: Faulty, temporal_address: str, *, trace_sample_ratio: float = 1.0, **options: Any
) -> AsyncIterator[tuple[PipelineStack, Receiver]]:
    """PipelineService and its worker, and a receiver of what it tells."""
    with receiver() as otlp:
        settings = TelemetrySettings(
            _env_file=None,
            otlp_endpoint=otlp.address,
            metric_interval_seconds=INTERVAL_SECONDS,
            trace_sample_ratio=trace_sample_ratio,
        )
        shared = cast("Warehouse", warehouse)
        async with (
            open_telemetry(settings, service="pipeline_service") as telemetry,
            tenant_stack(folder, shared) as tenants,
            pipeline_stack(
                folder,
                shared,
                tenants,
                temporal_address,
                telemetry=telemetry,
                metric_interval_seconds=INTERVAL_SECONDS,
                **options,
            ) as stack,
        ):
            yield stack, otlp


@pytest.fixture
async def faulty(local_server: LocalServer) -> AsyncIterator[Faulty]:
    warehouse = Faulty(local_server.connect())
    yield warehouse
    warehouse.release()
    await warehouse.close()


async def test_runs_that_wait_are_counted_and_those_that_are_joined_say_which(
    faulty: Faulty, temporal_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    async with telling(tmp_path, faulty, temporal_address, max_active_runs_per_tenant=1) as (stack, otlp):
        tenant_id, key = await stack.onboard()
        faulty.hold()
        ids = [(await stack.start(tenant_id, key, parameters={"note": note})).pipeline_logging_id for note in "abc"]
        joined = await stack.start(tenant_id, key, parameters={"note": "a"})
        assert joined.already_running

        def gauges() -> tuple[float, float]:
            return otlp.total("convergence.runs.active"), otlp.total("convergence.runs.waiting")

        await until(lambda: gauges() == (3, 2), PATIENCE_SECONDS)
        faulty.release()
        for run_id in ids:
            assert (await stack.end_of(key, run_id)).status == run_pb2.Run.COMPLETE
        await until(lambda: gauges() == (0, 0), PATIENCE_SECONDS)
        starts = [
            (span.attributes["convergence.pipeline_logging_id"], span.attributes["convergence.already_running"])
            for span in otlp.named("StartWorkflow:Run")
        ]
        assert sorted(starts) == sorted([*((run_id, False) for run_id in ids), (ids[0], True)])


async def test_attempts_of_a_step_that_is_tried_again_are_told_within_their_run(
    faulty: Faulty, temporal_address: str, tmp_path: Path
) -> None:
    faulty.aborted = "_load_stage_1"
    async with telling(tmp_path, faulty, temporal_address) as (stack, otlp):
        tenant_id, key = await stack.onboard()
        run = await stack.run(tenant_id, key)
        assert run.status == run_pb2.Run.COMPLETE
    tried = sorted(otlp.named("RunActivity:run_step", convergence_step_id="load"), key=lambda span: span.nanoseconds)
    assert [(span.attributes["convergence.attempt"], span.is_error) for span in tried] == [(1, True), (2, False)]
    (told,) = otlp.named("RunWorkflow:Run")
    assert {(span.trace_id, span.parent_id) for span in tried} == {(told.trace_id, told.span_id)}
    assert otlp.total("convergence.step.attempts", error_type=tried[0].attributes["error.type"]) == 1
    assert otlp.total("convergence.step.duration", convergence_step_type="query") == 1
    jobs = otlp.named(
        "warehouse query", db_collection_name=f"{tenant_id}._stage_{run.pipeline_logging_id.replace('-', '')}_load"
    )
    assert [span.is_error for span in sorted(jobs, key=lambda span: span.nanoseconds)] == [True, False]


async def test_of_a_guess_nothing_is_kept_of_the_trace_that_it_names_and_of_a_holder_all_that_its_call_causes(
    faulty: Faulty, temporal_address: str, tmp_path: Path
) -> None:
    async with telling(tmp_path, faulty, temporal_address, trace_sample_ratio=0) as (stack, otlp):
        tenant_id, key = await stack.onboard()
        ((name, text),) = key
        guess = ((name, text[:-1] + ("a" if text[-1] != "a" else "b")), *TRACED)
        with pytest.raises(grpc.aio.AioRpcError, match="UNAUTHENTICATED"):
            await stack.start(tenant_id, guess)
        run = await stack.run(tenant_id, (*key, *TRACED))
        assert run.status == run_pb2.Run.COMPLETE
    assert {span.trace_id for span in otlp.spans} == {TRACE}
    assert {span.parent_id for span in otlp.spans} <= {CALLER, *(span.span_id for span in otlp.spans)}, (
        "no look-up of a key"
    )
    assert [span.attributes["rpc.response.status_code"] for span in otlp.named(RUN_TEMPLATE)] == ["OK"]
    assert len(otlp.named("RunWorkflow:Run")) == 1
    assert {"query"} <= {
        span.attributes["db.operation.name"] for span in otlp.spans if span.name.startswith("warehouse")
    }


async def test_a_history_holds_ids_of_the_trace_and_nothing_else_and_replays_with_and_without_telling(
    faulty: Faulty, temporal_address: str, tmp_path: Path
) -> None:
    async with telling(tmp_path, faulty, temporal_address) as (stack, _):
        tenant_id, key = await stack.onboard()
        run = await stack.run(tenant_id, (*key, *TRACED))
    client = await connect(temporal_address, namespace="default")
    workflow_id = workflow_id_of(tenant_id, run.pipeline_logging_id)
    assert workflow_id is not None
    history = await client.get_workflow_handle(workflow_id).fetch_history()
    started: list[Any] = [event.workflow_execution_started_event_attributes for event in history.events[:1]]
    scheduled: list[Any] = [
        event.activity_task_scheduled_event_attributes
        for event in history.events
        if event.HasField("activity_task_scheduled_event_attributes")
    ]
    headers = [attributes.header.fields for attributes in (*started, *scheduled)]
    assert len(headers) == 3, "of the workflow and its two steps"
    assert {tuple(fields) for fields in headers} == {("_tracer-data",)}
    assert {tuple(json.loads(fields["_tracer-data"].data)) for fields in headers} == {("traceparent",)}
    await replay(history)
    await replay(history, [RunTelemetry(TOLD_TO_NOBODY)])


async def test_histories_of_earlier_releases_replay_under_a_worker_that_tells() -> None:
    for path in HISTORIES:
        await replay(recorded_in(path), [RunTelemetry(TOLD_TO_NOBODY)])
