"""Gates on Temporal: asking, telling and opening one, and what one asks about its tenant's runs."""

import uuid
from contextlib import suppress
from datetime import timedelta

from temporalio.api.common.v1 import WorkflowExecution as RawExecution
from temporalio.api.enums.v1 import UpdateWorkflowExecutionLifecycleStage
from temporalio.api.update.v1 import Input, Meta, Request, WaitPolicy
from temporalio.api.workflowservice.v1 import UpdateWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecution, WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from common.errors import Unavailable
from common.for_each import for_each, map_each
from pipeline_service.budget_messages import DayUse
from pipeline_service.gate_messages import GateSignal, GateState, SlotRequest
from pipeline_service.gates import LastGate
from pipeline_service.run import RunHeader
from pipeline_service.run_id import workflow_id_prefix
from pipeline_service.temporal_calls import CALL_TIMEOUT, decode, encode, engine_call, running, unless_not_found
from pipeline_service.temporal_fairness import turn_of
from pipeline_service.temporal_names import (
    ASK_UPDATE,
    ASKED_SIGNAL,
    DAY_MEMO,
    GATE_WORKFLOW,
    HEADER_MEMO,
    REPORT_SIGNAL,
    RUN_WORKFLOW,
    gate_id,
)

_AT_ONCE = 16
_COMPLETED = UpdateWorkflowExecutionLifecycleStage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED
ANSWER_TIMEOUT = timedelta(seconds=1)
"""How long a gate may take to answer before it is left a message: its worker may be away."""
_NEVER_BEGUN = timedelta(seconds=1)
"""How long a run lasts that begins because the engine has forgotten the one that is told of its slot: it has nothing to do."""
_UNBROKEN = (WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.COMPLETED)
"""How a gate ends by itself or goes on; any other end is somebody's doing, and leaves holders behind."""


class TemporalGates:
    """Gates as workflows on the runs' task queue."""

    def __init__(self, client: Client, *, task_queue: str) -> None:
        self._client = client
        self._task_queue = task_queue

    async def last(self, tenant_id: str) -> LastGate:
        """See Gates. A gate that has closed still shows what it showed."""
        described = await self._describe(gate_id(tenant_id))
        if described is None:
            return LastGate()
        shown = described.raw_info.memo.fields.get(DAY_MEMO)
        day = await decode(self._client, shown, DayUse) if shown is not None else None
        return LastGate(described.status not in _UNBROKEN, day)

    async def ask(self, knock: GateSignal) -> bool | None:
        """See Gates. By an update, which the gate answers within the task that it hears of it. Not tried again: a gate has few updates
        under way at once, and takes any number of signals."""
        request = UpdateWorkflowExecutionRequest(
            namespace=self._client.namespace,
            workflow_execution=RawExecution(workflow_id=gate_id(knock.tenant_id)),
            wait_policy=WaitPolicy(lifecycle_stage=_COMPLETED),
            request=Request(
                meta=Meta(update_id=str(uuid.uuid4()), identity=self._client.identity), input=Input(name=ASK_UPDATE)
            ),
        )
        request.request.input.args.payloads.append(await encode(self._client, knock.asking))
        with suppress(Unavailable, RPCError):
            async with engine_call(ANSWER_TIMEOUT):
                answer = await self._client.workflow_service.update_workflow_execution(
                    request, retry=False, timeout=ANSWER_TIMEOUT
                )
            if answer.outcome.HasField("success"):
                return await decode(self._client, answer.outcome.success.payloads[0], bool)
        return None

    async def let_begin(self, asking: SlotRequest) -> bool:
        """See Gates. As if to start the run, which is not possible once it was: only such a signal ends the delay of its first task. The
        engine takes it for whichever run of this workflow id is active, which then knows from the signal whether it is meant."""
        with suppress(WorkflowAlreadyStartedError):
            async with engine_call():
                await self._client.start_workflow(
                    RUN_WORKFLOW,
                    id=asking.workflow_id,
                    task_queue=self._task_queue,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    execution_timeout=_NEVER_BEGUN,
                    start_signal=ASKED_SIGNAL,
                    start_signal_args=[asking.engine_run_id, asking.holds],
                    rpc_timeout=CALL_TIMEOUT,
                )
            return True
        return False

    async def tell(self, knock: GateSignal) -> bool:
        """See Gates."""
        gate = self._client.get_workflow_handle(gate_id(knock.tenant_id))
        async with unless_not_found(), engine_call():
            await gate.signal(knock.signal, knock.account or knock.asking, rpc_timeout=CALL_TIMEOUT)
            return True
        return False

    async def open(self, state: GateState, knock: GateSignal) -> None:
        """See Gates."""
        async with engine_call():
            await self._client.start_workflow(
                GATE_WORKFLOW,
                state,
                id=gate_id(state.tenant_id),
                task_queue=self._task_queue,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                priority=turn_of(state.tenant_id),
                # Shown before anything changes, and whatever becomes of it.
                memo={DAY_MEMO: state.day} if state.day else None,
                start_signal=knock.signal,
                start_signal_args=[knock.account or knock.asking],
                rpc_timeout=CALL_TIMEOUT,
            )

    async def gone(self, holders: tuple[SlotRequest, ...]) -> tuple[str, ...]:
        """See Gates."""
        described = await map_each(
            holders, lambda holder: self._describe(holder.workflow_id, holder.engine_run_id), at_once=_AT_ONCE
        )
        gone = [
            holder.engine_run_id
            for holder, found in zip(holders, described, strict=True)
            if found is None or found.status is not WorkflowExecutionStatus.RUNNING
        ]
        return tuple(sorted(gone))

    async def survey(self, tenant_id: str) -> tuple[SlotRequest, ...]:
        """See Gates."""
        listed = await running(self._client, workflow_id_prefix(tenant_id), workflow_type=RUN_WORKFLOW)
        await for_each(listed, self._ask_for_a_report, at_once=_AT_ONCE)
        return tuple([await self._as_listed(execution) for execution in listed])

    async def _as_listed(self, execution: WorkflowExecution) -> SlotRequest:
        header = await decode(self._client, execution.raw_info.memo.fields[HEADER_MEMO], RunHeader)
        return SlotRequest(execution.id, execution.run_id, execution.start_time, header.pipeline_id)

    async def _ask_for_a_report(self, execution: WorkflowExecution) -> None:
        async with unless_not_found(), engine_call():
            await self._client.get_workflow_handle(execution.id, run_id=execution.run_id).signal(
                REPORT_SIGNAL, rpc_timeout=CALL_TIMEOUT
            )

    async def _describe(
        self, workflow_id: str, engine_run_id: str | None = None
    ) -> WorkflowExecutionDescription | None:
        handle = self._client.get_workflow_handle(workflow_id, run_id=engine_run_id)
        async with unless_not_found(), engine_call():
            return await handle.describe(rpc_timeout=CALL_TIMEOUT)
        return None
