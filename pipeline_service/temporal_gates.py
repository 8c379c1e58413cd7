"""Gates on Temporal: opening one, and what one asks about its tenant's runs."""

from temporalio.client import Client, WorkflowExecution, WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from common.for_each import for_each, map_each
from pipeline_service.budget_messages import DayUse
from pipeline_service.gate_messages import GateSignal, GateState, SlotRequest
from pipeline_service.gates import LastGate
from pipeline_service.run import RunHeader
from pipeline_service.run_id import workflow_id_prefix
from pipeline_service.temporal_calls import CALL_TIMEOUT, decode, engine_call, running, unless_not_found
from pipeline_service.temporal_fairness import turn_of
from pipeline_service.temporal_names import DAY_MEMO, GATE_WORKFLOW, HEADER_MEMO, REPORT_SIGNAL, RUN_WORKFLOW, gate_id

_AT_ONCE = 16
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
