"""What Temporal's histories and memos say of a run: what it was started with, and what of its state has changed."""

from collections.abc import Mapping

from temporalio.api.common.v1 import Payload, WorkflowExecution
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryRequest
from temporalio.client import Client

from pipeline_service.temporal_calls import CALL_TIMEOUT, decode, engine_call, unless_not_found
from pipeline_service.temporal_names import DAYS_MEMO, STATE_MEMO


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


def changed_in(event: HistoryEvent) -> Mapping[str, Payload] | None:
    """The memo's fields that tell of the run's state, if the event carries them: the start and every change of the memo do."""
    match event.WhichOneof("attributes"):
        case "workflow_execution_started_event_attributes":
            fields = event.workflow_execution_started_event_attributes.memo.fields
        case "workflow_properties_modified_event_attributes":
            fields = event.workflow_properties_modified_event_attributes.upserted_memo.fields
        case _:
            return None
    return fields if STATE_MEMO in fields else None
