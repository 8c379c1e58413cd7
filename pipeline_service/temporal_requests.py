"""Records of request ids as workflows of their own on Temporal: open for 24 h, with the request and its answer in the memo."""

from dataclasses import dataclass

from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from common.for_each import for_each
from pipeline_service.engine import Started
from pipeline_service.request_record import Opened, RequestRecord, tenant_of
from pipeline_service.temporal_calls import CALL_TIMEOUT, engine_call, running, unless_not_found
from pipeline_service.temporal_fairness import turn_of
from pipeline_service.temporal_names import ANSWER_MEMO, BIND_SIGNAL, REQUEST_MEMO, REQUEST_WORKFLOW

_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class _Request:
    """The memo of a record, from its opening. Those of earlier releases have no `work_id`: their workflow had it as its own."""

    digest: str
    run_workflow_id: str
    work_id: str = ""


class TemporalRequests:
    """The RequestLedger. A record's key is its workflow's id."""

    def __init__(self, client: Client, *, task_queue: str) -> None:
        self._client = client
        self._task_queue = task_queue

    async def find(self, key: str) -> RequestRecord | None:
        """See RequestLedger."""
        description = None
        async with unless_not_found(), engine_call():
            description = await self._client.get_workflow_handle(key).describe(rpc_timeout=CALL_TIMEOUT)
        if description is None or description.status is not WorkflowExecutionStatus.RUNNING:
            return None
        request = await description.memo_value(REQUEST_MEMO, type_hint=_Request)
        answer = await description.memo_value(ANSWER_MEMO, None, type_hint=Started)
        work_id = request.work_id or request.run_workflow_id
        return RequestRecord(request.digest, request.run_workflow_id, work_id, description.start_time, answer)

    async def open(
        self, key: str, *, request_digest: str, run_workflow_id: str, work_id: str, answer: Started | None = None
    ) -> Opened:
        """See RequestLedger."""
        memo: dict[str, object] = {REQUEST_MEMO: _Request(request_digest, run_workflow_id, work_id)}
        if answer is not None:
            memo[ANSWER_MEMO] = answer
        try:
            async with engine_call():
                handle = await self._client.start_workflow(
                    REQUEST_WORKFLOW,
                    id=key,
                    task_queue=self._task_queue,
                    id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                    priority=turn_of(tenant_of(key)),
                    memo=memo,
                    rpc_timeout=CALL_TIMEOUT,
                )
        except WorkflowAlreadyStartedError as error:
            return Opened(error.run_id or "", is_new=False)
        return Opened(handle.result_run_id or "", is_new=True)

    async def bind(self, key: str, answer: Started) -> None:
        """See RequestLedger. A record that closed meanwhile needs no answer any more."""
        async with unless_not_found(), engine_call():
            await self._client.get_workflow_handle(key).signal(BIND_SIGNAL, answer, rpc_timeout=CALL_TIMEOUT)

    async def forget(self, key_prefix: str) -> None:
        """See RequestLedger."""
        await for_each(await running(self._client, key_prefix), self._close, at_once=_AT_ONCE)

    async def _close(self, record: WorkflowExecution) -> None:
        async with unless_not_found(), engine_call():
            await self._client.get_workflow_handle(record.id, run_id=record.run_id).terminate(
                reason="the tenant is deleted", rpc_timeout=CALL_TIMEOUT
            )
