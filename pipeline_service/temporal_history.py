"""What Temporal's histories and memos say of a run: what it was started with, and what of its state has changed."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from datetime import timedelta

from temporalio.api.common.v1 import Payload, WorkflowExecution
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from pipeline_service.engine import Execution
from pipeline_service.run import RunState
from pipeline_service.state_memo import state_in
from pipeline_service.temporal_calls import CALL_TIMEOUT, decode, engine_call, unless_not_found
from pipeline_service.temporal_names import DAYS_MEMO, STATE_MEMO

_LONG_POLL = timedelta(seconds=30)
"""The server answers a long poll after 20 s, with or without an event."""
_PLACE_LOST = "errordetails.v1.CurrentBranchChangedFailure"
_START_OVER_SECONDS = 0.05
_LULL_SECONDS = 0.02
"""Before the next look at a history after one that told nothing: most events announce the one that will."""


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
    """The states of a run from the first, each newer than the one before, until its history ends or the engine forgets it. One long poll:
    some 10 ms behind and at most _LULL_SECONDS more, no event added, no worker needed."""
    request = GetWorkflowExecutionHistoryRequest(
        namespace=client.namespace,
        execution=WorkflowExecution(workflow_id=execution.workflow_id, run_id=execution.engine_run_id),
        wait_new_event=True,
    )
    newest = -1
    groups: dict[str, str] = {}
    while True:
        try:
            async with engine_call(_LONG_POLL):
                page = await client.workflow_service.get_workflow_execution_history(
                    request, retry=True, timeout=_LONG_POLL
                )
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return
            if not _has_lost_its_place(error):
                raise
            await asyncio.sleep(_START_OVER_SECONDS)
            request.next_page_token = b""
            continue
        changes = list(filter(None, map(_changed_in, page.history.events)))
        for fields in changes:
            state = await decode(client, fields[STATE_MEMO], RunState)
            groups |= await groups_in(client, fields)
            if state.version > newest:
                newest = state.version
                yield state_in(state, groups)
        if not page.next_page_token:
            return
        request.next_page_token = page.next_page_token
        if not changes:
            await asyncio.sleep(_LULL_SECONDS)


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
