"""WatchRun: everything that happens, once, to its end, and nothing left behind."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import SimpleNamespace
from typing import Any

import pytest
from temporalio.api.common.v1 import GrpcStatus
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryRequest, GetWorkflowExecutionHistoryResponse
from temporalio.service import RPCError, RPCStatusCode, WorkflowService

from common.rpc.caller import Caller
from pipeline_service import queue_looks
from pipeline_service.engine import Execution, Queue, RunEngine
from pipeline_service.get_run import GetRun
from pipeline_service.run import Run, RunStatus, StepStatus
from pipeline_service.temporal_engine import TemporalEngine
from pipeline_service.watch_run import WatchRun
from pipeline_service.watches import Watches
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.plans import plan, query_step
from tests.waiting import until

FORGOTTEN = "type.googleapis.com/temporal.server.api.errordetails.v1.CurrentBranchChangedFailure"


class CountingEngine:
    """Counts how often runs are followed."""

    def __init__(self, engine: RunEngine) -> None:
        self._engine = engine
        self.followed = 0
        self.queues = 0
        self.began = asyncio.Event()
        self.ended = asyncio.Event()

    async def queue(self, tenant_id: str) -> Queue:
        self.queues += 1
        return await self._engine.queue(tenant_id)

    async def changes(self, execution: Execution) -> AsyncGenerator[Run]:
        self.followed += 1
        try:
            async for run in self._engine.changes(execution):
                self.began.set()
                yield run
        finally:
            self.ended.set()


def watching(lab: Lab, engine: CountingEngine | None = None) -> WatchRun:
    get_run = GetRun(lab.engine, lab.records)
    return WatchRun(get_run, Watches(engine or lab.engine))  # type: ignore[arg-type]


def watch(lab: Lab, use_case: WatchRun, pipeline_logging_id: str) -> AsyncGenerator[Run]:
    return use_case(Caller("key", lab.tenant_id), pipeline_logging_id=pipeline_logging_id, tenant_id="")


async def test_a_watch_sends_every_state_and_ends_with_the_terminal_one(lab: Lab) -> None:
    lab.warehouse.selects["select more"] = []
    started = await lab.start(
        plan(lab.tenant_id, query_step(lab.tenant_id), query_step(lab.tenant_id, "more", after=("load",)))
    )
    seen = []
    async with aclosing(watch(lab, watching(lab), started.pipeline_logging_id)) as runs:
        first = await anext(runs)
        async with lab.worker():
            seen = [first, *[run async for run in runs]]
    assert [run.state.version for run in seen] == list(range(len(seen)))
    assert [(run.state.status, *(step.status for step in run.state.steps)) for run in seen] == [
        (RunStatus.PENDING, StepStatus.PENDING, StepStatus.PENDING),
        (RunStatus.RUNNING, StepStatus.RUNNING, StepStatus.PENDING),
        (RunStatus.RUNNING, StepStatus.COMPLETE, StepStatus.RUNNING),
        (RunStatus.COMPLETE, StepStatus.COMPLETE, StepStatus.COMPLETE),
    ]


async def test_a_watch_of_a_run_that_has_ended_sends_it_and_ends(lab: Lab) -> None:
    async with lab.worker():
        run = await lab.run(plan(lab.tenant_id))
    assert [seen async for seen in watch(lab, watching(lab), run.pipeline_logging_id)] == [run]


async def test_watchers_of_one_run_share_one_follower_which_ends_with_the_last(lab: Lab) -> None:
    engine = CountingEngine(lab.engine)
    use_case = watching(lab, engine)
    started = await lab.start(plan(lab.tenant_id))  # no worker: nothing will change
    watchers = [asyncio.create_task(anext_twice(watch(lab, use_case, started.pipeline_logging_id))) for _ in range(20)]
    await engine.began.wait()
    for watcher in watchers:
        watcher.cancel()
    await asyncio.gather(*watchers, return_exceptions=True)
    await engine.ended.wait()
    assert engine.followed == 1
    assert not use_case._watches._followed


async def test_nobody_looks_at_the_queue_for_a_run_that_does_not_wait_any_more(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = CountingEngine(lab.engine)
    use_case = watching(lab, engine)
    lab.warehouse.held["load_publish_1"].clear()
    async with lab.worker():
        started = await lab.start(plan(lab.tenant_id))
        await lab.warehouse.began["load_publish_1"].wait()
        # Else a slow machine has a look before the first state.
        monkeypatch.setattr(queue_looks, "LOOK_SECONDS", 3600.0)
        runs = watch(lab, use_case, started.pipeline_logging_id)
        await anext(runs)
        ending = asyncio.create_task(last(runs))
        await engine.began.wait()
        await until(lambda: not use_case._watches._looks._coming, seconds=60)
        lab.warehouse.held["load_publish_1"].set()
        assert (await ending).state.status is RunStatus.COMPLETE
    assert not engine.queues


async def test_a_late_watcher_misses_nothing_that_comes_after_it(lab: Lab) -> None:
    use_case = watching(lab)
    lab.warehouse.held["load_publish_1"].clear()
    async with lab.worker():
        started = await lab.start(plan(lab.tenant_id))
        early = asyncio.create_task(last(watch(lab, use_case, started.pipeline_logging_id)))
        await lab.warehouse.began["load_publish_1"].wait()
        late = watch(lab, use_case, started.pipeline_logging_id)
        assert (await anext(late)).state.steps[0].status is StepStatus.RUNNING
        lab.warehouse.held["load_publish_1"].set()
        assert (await last(late)).state.status is RunStatus.COMPLETE
        assert (await early).state.status is RunStatus.COMPLETE


class ForgetfulHistory:
    """Temporal's service, which refuses every other page token, as it does when it does not know its own any more. Once it has, it sets
    `refused`."""

    def __init__(self, service: WorkflowService, *, refused: asyncio.Event) -> None:
        self._service = service
        self._asked = 0
        self._refused = refused

    async def get_workflow_execution_history(
        self, request: GetWorkflowExecutionHistoryRequest, **options: Any
    ) -> GetWorkflowExecutionHistoryResponse:
        self._asked += bool(request.next_page_token)
        if request.next_page_token and self._asked % 2:
            self._refused.set()
            status = GrpcStatus(code=3)
            status.details.add().type_url = FORGOTTEN
            raise RPCError("don't match", RPCStatusCode.INVALID_ARGUMENT, status.SerializeToString())
        return await self._service.get_workflow_execution_history(request, **options)


async def test_a_follower_whose_place_the_server_forgets_misses_and_repeats_nothing(lab: Lab) -> None:
    started = await lab.start(plan(lab.tenant_id))
    execution = await lab.execution(started.pipeline_logging_id)
    service = ForgetfulHistory(lab.client.workflow_service, refused=lab.warehouse.held["load_stage_1"])
    client: Any = SimpleNamespace(
        namespace=lab.client.namespace, data_converter=lab.client.data_converter, workflow_service=service
    )
    lab.warehouse.held["load_stage_1"].clear()
    async with lab.worker():
        changes = TemporalEngine(client, task_queue=lab.task_queue).changes(execution)
        versions = [run.state.version async for run in changes]
    assert versions == list(range(len(versions)))
    assert (await lab.execution(started.pipeline_logging_id)).run.state.version == versions[-1]


async def last(runs: AsyncGenerator[Run]) -> Run:
    return [run async for run in runs][-1]


async def anext_twice(runs: AsyncGenerator[Run]) -> None:
    async with aclosing(runs):
        await anext(runs)
        await anext(runs)
