"""What Temporal's histories and memos say of a run: what it was started with, and what of its state has changed."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from datetime import timedelta

from temporalio.api.common.v1 import Payload, WorkflowExecution
from temporalio.api.enums.v1 import HistoryEventFilterType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryRequest, GetWorkflowExecutionHistoryResponse
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from common.errors import DependencyRefused, Unavailable
from pipeline_service.engine import Execution
from pipeline_service.run import RunState
from pipeline_service.state_memo import state_in
from pipeline_service.temporal_calls import CALL_TIMEOUT, decode, engine_call, unless_not_found
from pipeline_service.temporal_names import DAYS_MEMO, STATE_MEMO

_LONG_POLL = timedelta(seconds=30)
"""The server answers a long poll after 20 s, with or without an event."""
_PLACE_LOST = "errordetails.v1.CurrentBranchChangedFailure"
_START_OVER_SECONDS = 0.05
_LULL_SECONDS = 0.08
"""Before a look at a history that goes on: each of the three or four events that lead from one change to the next would answer one."""


async def input_of(client: Client, workflow_id: str, engine_run_id: str) -> Payload | None:
    """What a workflow was started with; None where the engine has it no more."""
    request = GetWorkflowExecutionHistoryRequest(
        namespace=client.namespace,
        execution=WorkflowExecution(workflow_id=workflow_id, run_id=engine_run_id),
        maximum_page_size=1,
    )
    async with unless_not_found(), engine_call():
        page = await client.workflow_service.get_workflow_execution_history(request, retry=True, timeout=CALL_TIMEOUT)
        [payload] = page.history.events[0].workflow_execution_started_event_attributes.input.payloads
        return payload
    return None


async def groups_in(client: Client, fields: Mapping[str, Payload]) -> dict[str, str]:
    """The groups of a backfill's days that are among a memo's fields."""
    return {name: await decode(client, payload, str) for name, payload in fields.items() if name.startswith(DAYS_MEMO)}


async def states_of(client: Client, execution: Execution) -> AsyncGenerator[RunState]:
    """The states of a run from the first, each newer than the one before, until its history ends or the engine forgets it. By long polls,
    with no event added and no worker needed: the end some 10 ms late, all else at most _LULL_SECONDS more."""
    request = _request(client, execution)
    lulls = _Lulls(client, execution)
    newest = -1
    groups: dict[str, str] = {}
    try:
        await lulls.next()
        while True:
            try:
                page = await _page(client, request)
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND:
                    return
                if not _has_lost_its_place(error):
                    raise
                await asyncio.sleep(_START_OVER_SECONDS)
                request.next_page_token = b""
                continue
            for fields in filter(None, map(_changed_in, page.history.events)):
                state = await decode(client, fields[STATE_MEMO], RunState)
                groups |= await groups_in(client, fields)
                if state.version > newest:
                    newest = state.version
                    yield state_in(state, groups)
            if not page.next_page_token:
                return
            request.next_page_token = page.next_page_token
            last = await lulls.next() if page.history.events else None
            if last is not None and last.version == newest + 1:  # else states between are still to be told
                yield last
                return
    finally:
        lulls.close()


class _Lulls:
    """Pauses in following a run, which its end cuts short: a second long poll is open beside them, which nothing else answers. Without
    events there is no pause, and so no more than one long poll once the server has given this one back."""

    def __init__(self, client: Client, execution: Execution) -> None:
        self._client = client
        self._request = _request(client, execution)
        self._request.history_event_filter_type = HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT
        self._ending: asyncio.Task[RunState | None] | None = None

    async def next(self) -> RunState | None:
        """Return after _LULL_SECONDS, or once the run has ended: with its last state, where it says that."""
        if self._ending is None or self._ending.done():
            self._ending = asyncio.create_task(self._end())
        done, _ = await asyncio.wait((self._ending,), timeout=_LULL_SECONDS)
        return self._ending.result() if done else None

    def close(self) -> None:
        """Give up the long poll."""
        if self._ending is not None:
            self._ending.cancel()

    async def _end(self) -> RunState | None:
        with suppress(RPCError, Unavailable, DependencyRefused):  # of which the next look tells
            page = await _page(self._client, self._request)
            for event in page.history.events:
                for payload in event.workflow_execution_completed_event_attributes.result.payloads:
                    if payload.data:  # that of a backfill, or of a run of an earlier release, is None
                        return await decode(self._client, payload, RunState)
        return None


def _request(client: Client, execution: Execution) -> GetWorkflowExecutionHistoryRequest:
    return GetWorkflowExecutionHistoryRequest(
        namespace=client.namespace,
        execution=WorkflowExecution(workflow_id=execution.workflow_id, run_id=execution.engine_run_id),
        wait_new_event=True,
    )


async def _page(client: Client, request: GetWorkflowExecutionHistoryRequest) -> GetWorkflowExecutionHistoryResponse:
    """What the server answers once there is something, or after a while. Raises RPCError, Unavailable, DependencyRefused."""
    async with engine_call(_LONG_POLL):
        return await client.workflow_service.get_workflow_execution_history(request, retry=True, timeout=_LONG_POLL)


def _changed_in(event: HistoryEvent) -> Mapping[str, Payload] | None:
    """The memo's fields that tell of the run's state, if the event carries them: the start and every change of the memo do."""
    match event.WhichOneof("attributes"):
        case "workflow_execution_started_event_attributes":
            fields = event.workflow_execution_started_event_attributes.memo.fields
        case "workflow_properties_modified_event_attributes":
            fields = event.workflow_properties_modified_event_attributes.upserted_memo.fields
        case _:
            return None
    return fields if STATE_MEMO in fields else None


def _has_lost_its_place(error: RPCError) -> bool:
    """Whether the server does not know the place in the history that a page token stands for, and the reader has to start over. It happens
    under load that a token is ahead of what the server knows a moment later."""
    return any(detail.type_url.endswith(_PLACE_LOST) for detail in error.grpc_status.details)
