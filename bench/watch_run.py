"""WatchRun: how soon a change arrives, and what 1,000 watchers of 100 runs cost while nothing happens. All on one pipeline_service."""

import asyncio
import contextlib
import itertools
import time
import uuid
from collections.abc import AsyncIterator
from datetime import date, timedelta
from statistics import median
from typing import Any

import grpc
import psutil

from bench.plans import billing_plan
from bench.report import Count, Duration, Finding, Size
from bench.rounds import Rounds
from bench.stack import Stack, Tenant
from convergence.pipeline.v1.pipeline_service_pb2 import RunTemplateRequest, WatchRunRequest
from convergence.pipeline.v1.pipeline_service_pb2_grpc import PipelineServiceStub
from convergence.pipeline.v1.run_pb2 import Run
from local_stack.api_client import CHANNEL_OPTIONS
from pipeline_service.run_id import workflow_id_for, workflow_id_of
from pipeline_service.temporal_engine import TemporalEngine
from pipeline_service.temporal_names import STATE_MEMO

LATENCY_BOUND_SECONDS = 0.25
MEMORY_BOUND_MEGABYTES = 100.0
THREADS_BOUND = 50
"""Pools grow by some 30 while 1,000 calls are let in. Nothing has a thread of its own: no watcher, and no run."""
WATCHED_RUNS = 100
"""Or as many as there are watchers, if those are fewer."""
CHANNELS = 10
OPENED_AT_ONCE = 50
IDLE_SECONDS_A_WATCHER = 0.01
FIRST_DAY = date(2021, 1, 1)


async def measure(stack: Stack, tenant: Tenant, rounds: Rounds) -> tuple[Finding, ...]:
    """Latencies first, so that what grows meanwhile has grown."""
    late = [seconds for number in range(rounds.starts) for seconds in await _latencies(stack, tenant, number)]
    return (
        Duration("a change of a run, until its watcher has it: median", median(late), LATENCY_BOUND_SECONDS),
        Duration("a change of a run, until its watcher has it: longest", max(late), LATENCY_BOUND_SECONDS),
        *await _idle(stack, tenant, rounds.watchers),
    )


async def _latencies(stack: Stack, tenant: Tenant, number: int) -> list[float]:
    """Seconds from the moment at which each change of a run stood in its history, by the engine's clock, until the watcher had it."""
    request = RunTemplateRequest(
        tenant_id=tenant.tenant_id,
        provider="gcp",
        domain="example",
        template_name="dryrun",
        date=(FIRST_DAY + timedelta(days=number)).isoformat(),
    )
    run_id = (await stack.pipelines.RunTemplate(request, **tenant.call)).pipeline_logging_id
    arrived: list[float] = []
    async for run in stack.pipelines.WatchRun(WatchRunRequest(pipeline_logging_id=run_id), **tenant.call):
        if run.status != Run.PENDING:  # until then it may be its place in the queue that has changed
            arrived.append(time.time())
    assert run.status == Run.COMPLETE, run
    workflow_id = workflow_id_of(tenant.tenant_id, run_id)
    assert workflow_id
    changed = [
        event.event_time.ToNanoseconds() / 1e9
        async for event in stack.temporal.get_workflow_handle(workflow_id).fetch_history_events()
        if STATE_MEMO in event.workflow_properties_modified_event_attributes.upserted_memo.fields
    ]
    # Every change is one message, but for those that the first message had in it already.
    return [there - here for here, there in zip(reversed(changed), reversed(arrived[-len(changed) :]), strict=False)]


async def _idle(stack: Stack, tenant: Tenant, watchers: int) -> tuple[Finding, ...]:
    process = psutil.Process(int(stack.running.state.pid_file("pipeline_service").read_text()))
    runs = min(WATCHED_RUNS, watchers)
    async with _waiting_runs(stack, tenant, runs) as run_ids:
        before = stack.resident_megabytes("pipeline_service"), process.num_threads()
        async with _watchers(stack, tenant, run_ids, watchers):
            cpu_seconds, idle_seconds = sum(process.cpu_times()[:2]), watchers * IDLE_SECONDS_A_WATCHER
            await asyncio.sleep(idle_seconds)
            share = (sum(process.cpu_times()[:2]) - cpu_seconds) / idle_seconds
            grown = stack.resident_megabytes("pipeline_service") - before[0], process.num_threads() - before[1]
    what = f"{watchers:,} idle watchers of {runs} runs"
    return (
        Size(f"{what}: memory", grown[0], MEMORY_BOUND_MEGABYTES),
        Count(f"{what}: threads", grown[1], THREADS_BOUND),
        Count(f"{what}: % of a core", 100 * share),
    )


@contextlib.asynccontextmanager
async def _waiting_runs(stack: Stack, tenant: Tenant, count: int) -> AsyncIterator[list[str]]:
    """So many runs on a task queue that nobody serves: PENDING for as long as they are wanted."""
    engine = TemporalEngine(stack.temporal, task_queue=f"bench-{uuid.uuid4()}")
    plan = billing_plan(tenant.tenant_id, FIRST_DAY.isoformat())
    started: dict[str, str] = {}
    try:
        for number in range(count):
            workflow_id = workflow_id_for(tenant.tenant_id, plan.header.pipeline_id, {"watched": str(number)})
            started[workflow_id] = (await engine.start(workflow_id, plan)).pipeline_logging_id
        yield list(started.values())
    finally:
        for workflow_id in started:
            await stack.temporal.get_workflow_handle(workflow_id).terminate()


@contextlib.asynccontextmanager
async def _watchers(stack: Stack, tenant: Tenant, run_ids: list[str], count: int) -> AsyncIterator[None]:
    """So many watches over some connections, each of which has had its first message."""
    address = stack.running.addresses["pipeline_service"]
    slots = asyncio.Semaphore(OPENED_AT_ONCE)
    async with contextlib.AsyncExitStack() as exits:
        stubs = [
            PipelineServiceStub(
                await exits.enter_async_context(
                    # Channels of one address share a connection unless something tells them apart.
                    grpc.aio.insecure_channel(address, options=[*CHANNEL_OPTIONS, ("bench.channel", number)])
                )
            )
            for number in range(CHANNELS)
        ]

        async def open_one(stub: PipelineServiceStub, run_id: str) -> Any:
            async with slots:
                call: Any = stub.WatchRun(
                    WatchRunRequest(pipeline_logging_id=run_id), metadata=tenant.call["metadata"], timeout=600
                )
                run = await call.read()
                assert run.status == Run.PENDING, run
                return call

        pairs = itertools.islice(zip(itertools.cycle(stubs), itertools.cycle(run_ids), strict=False), count)
        calls = await asyncio.gather(*(open_one(stub, run_id) for stub, run_id in pairs))
        try:
            yield
            assert not [call for call in calls if call.done()]
        finally:
            for call in calls:
                call.cancel()
