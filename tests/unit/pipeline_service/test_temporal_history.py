"""Following a run's history: few looks, nothing missed, its end at once, and no call left open."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from types import SimpleNamespace
from typing import Any

import pytest
from temporalio.api.enums.v1 import HistoryEventFilterType
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryRequest, GetWorkflowExecutionHistoryResponse
from temporalio.service import RPCError, RPCStatusCode

from pipeline_service import temporal_history
from pipeline_service.run import RunStatus
from pipeline_service.temporal_history import states_of
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.plans import plan, query_step
from tests.waiting import until

Answer = Callable[[GetWorkflowExecutionHistoryRequest], GetWorkflowExecutionHistoryResponse]


class Histories:
    """Temporal's service, as far as it shows histories: counts what it is asked, and answers as `ends` does who waits for the end."""

    def __init__(self, lab: Lab, ends: Answer | None = None) -> None:
        self._service = lab.client.workflow_service
        self._ends = ends
        self.looks = 0
        self.open: list[GetWorkflowExecutionHistoryRequest] = []
        self.client: Any = SimpleNamespace(
            namespace=lab.client.namespace, data_converter=lab.client.data_converter, workflow_service=self
        )

    async def get_workflow_execution_history(
        self, request: GetWorkflowExecutionHistoryRequest, **options: Any
    ) -> GetWorkflowExecutionHistoryResponse:
        if waits_for_end(request) and self._ends is not None:
            return self._ends(request)
        self.looks += not waits_for_end(request)
        self.open.append(request)
        try:
            return await self._service.get_workflow_execution_history(request, **options)
        finally:
            self.open.remove(request)


def waits_for_end(request: GetWorkflowExecutionHistoryRequest) -> bool:
    return request.history_event_filter_type == HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT


async def test_the_end_of_a_run_is_not_waited_for_however_long_the_pauses_are(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporal_history, "_LULL_SECONDS", 3600.0)
    started = await lab.start(plan(lab.tenant_id, query_step(lab.tenant_id)))
    histories = Histories(lab)
    async with lab.worker():
        execution = await lab.execution(started.pipeline_logging_id)
        states = [state async for state in states_of(histories.client, execution)]
    assert [state.version for state in states] == list(range(len(states)))
    assert states[-1].status is RunStatus.COMPLETE
    assert histories.looks == 1
    assert not histories.open


async def test_the_end_of_a_run_of_which_all_else_was_seen_takes_no_look_more(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.warehouse.held["load_stage_1"].clear()
    started = await lab.start(plan(lab.tenant_id))
    histories = Histories(lab)
    async with lab.worker():
        execution = await lab.execution(started.pipeline_logging_id)
        states, looks = [], 0
        async for state in states_of(histories.client, execution):
            states.append(state)
            if state.status is RunStatus.RUNNING:
                monkeypatch.setattr(temporal_history, "_LULL_SECONDS", 3600.0)
                looks = histories.looks
                lab.warehouse.held["load_stage_1"].set()
    assert [state.status for state in states] == [RunStatus.PENDING, RunStatus.RUNNING, RunStatus.COMPLETE]
    assert histories.looks == looks
    assert states[-1] == (await lab.execution(started.pipeline_logging_id)).run.state
    assert not histories.open


async def test_a_run_is_followed_though_nothing_tells_of_its_end(lab: Lab) -> None:
    def away(_request: GetWorkflowExecutionHistoryRequest) -> GetWorkflowExecutionHistoryResponse:
        raise RPCError("away", RPCStatusCode.UNAVAILABLE, b"")

    started = await lab.start(plan(lab.tenant_id, query_step(lab.tenant_id)))
    async with lab.worker():
        execution = await lab.execution(started.pipeline_logging_id)
        states = [state async for state in states_of(Histories(lab, away).client, execution)]
    assert [state.version for state in states] == list(range(len(states)))
    assert states[-1].status is RunStatus.COMPLETE


async def test_a_run_of_which_nothing_is_heard_costs_one_open_call(lab: Lab) -> None:
    """The server answers who waits for the end after 20 s; here at once."""
    started = await lab.start(plan(lab.tenant_id))  # no worker: nothing will change
    histories = Histories(lab, ends=lambda _: GetWorkflowExecutionHistoryResponse())
    async with aclosing(states_of(histories.client, await lab.execution(started.pipeline_logging_id))) as states:
        await anext(states)
        more = asyncio.create_task(anext(states))
        await until(lambda: histories.looks == 2, seconds=60)
        assert len(histories.open) == 1
        more.cancel()
        await asyncio.gather(more, return_exceptions=True)


async def test_who_stops_following_leaves_no_call_open(lab: Lab) -> None:
    started = await lab.start(plan(lab.tenant_id))
    histories = Histories(lab)
    async with aclosing(states_of(histories.client, await lab.execution(started.pipeline_logging_id))) as states:
        await anext(states)
        more = asyncio.create_task(anext(states))
        await until(lambda: len(histories.open) == 2, seconds=60)
        more.cancel()
        await asyncio.gather(more, return_exceptions=True)
    await until(lambda: not histories.open, seconds=60)
