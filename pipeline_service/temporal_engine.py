"""The run engine on Temporal. A run's memo holds its header and its state, so that any replica reads it while every worker is away."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from temporalio.api.common.v1 import WorkflowExecution, WorkflowType
from temporalio.api.enums.v1 import (
    WorkflowExecutionStatus,
    WorkflowIdConflictPolicy,
    WorkflowIdReusePolicy,
)
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflow.v1 import OnConflictOptions, WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse,
    ListWorkflowExecutionsRequest,
    StartWorkflowExecutionRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError

from common.errors import DependencyRefused, PipelineBusy, Unavailable
from pipeline_service.backfill_messages import BackfillRef, Listener
from pipeline_service.backfill_plan import BackfillPlan
from pipeline_service.engine import ActiveRun, Execution, Queue, Started
from pipeline_service.gate_door import GateDoor
from pipeline_service.gate_messages import GateSignal, SlotRequest, WaitingRuns
from pipeline_service.plan import Plan
from pipeline_service.run import Run, RunError, RunHeader, RunState, cut_off
from pipeline_service.run_id import pipeline_logging_id_for, workflow_id_prefix
from pipeline_service.state_memo import fields_of, state_in
from pipeline_service.temporal_calls import CALL_TIMEOUT, decode, encode, engine_call, running, unless_not_found
from pipeline_service.temporal_fairness import raw_turn_of
from pipeline_service.temporal_history import groups_in, input_of, states_of
from pipeline_service.temporal_names import (
    ASK_SIGNAL,
    BACKFILL_WORKFLOW,
    HEADER_MEMO,
    LISTEN_SIGNAL,
    QUEUE_MEMO,
    RUN_WORKFLOW,
    STATE_MEMO,
    STEP_ACTIVITY,
    gate_id,
)
from pipeline_service.temporal_trace import header_of_current_span

_ENDED_BY_HAND = (
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_TERMINATED,
    WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_CANCELED,
)
START_DELAY = timedelta(milliseconds=250)
"""How long a run's first task waits for word from its starter, who passes on what its tenant's gate answers. The engine's timers make that
up to a second. It waits no longer once there is word, or a cancellation."""


class TemporalEngine:
    """Runs as workflows on one task queue."""

    def __init__(self, client: Client, *, task_queue: str, door: GateDoor | None = None) -> None:
        """Without a `door` runs ask for their slots by themselves, which takes them a second longer."""
        self._client = client
        self._task_queue = task_queue
        self._door = door
        self._askings: set[asyncio.Task[None]] = set()

    async def start(self, workflow_id: str, plan: Plan | BackfillPlan, *, start_id: str | None = None) -> Started:
        """See RunEngine. The SDK's `start_workflow` offers neither a request id nor says whether it started anything."""
        state = plan.first_state()
        request = StartWorkflowExecutionRequest(
            namespace=self._client.namespace,
            workflow_id=workflow_id,
            workflow_type=WorkflowType(name=RUN_WORKFLOW if isinstance(plan, Plan) else BACKFILL_WORKFLOW),
            task_queue=TaskQueue(name=self._task_queue),
            identity=self._client.identity,
            request_id=start_id or str(uuid.uuid4()),
            workflow_id_conflict_policy=WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
            workflow_id_reuse_policy=WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
            # An attached id is one more event in the run's history, so only for calls that may be repeated with it.
            on_conflict_options=OnConflictOptions(attach_request_id=start_id is not None),
            priority=raw_turn_of(plan.header.tenant_id),
        )
        if self._door is not None and isinstance(plan, Plan):
            request.workflow_start_delay.FromTimedelta(START_DELAY)
        for name, header in header_of_current_span().items():
            request.header.fields[name].CopyFrom(header)
        request.input.payloads.append(await encode(self._client, plan))
        request.memo.fields[HEADER_MEMO].CopyFrom(await encode(self._client, plan.header))
        for name, value in fields_of(state).items():
            request.memo.fields[name].CopyFrom(await encode(self._client, value))
        async with engine_call():
            response = await self._client.workflow_service.start_workflow_execution(
                request, retry=True, timeout=CALL_TIMEOUT
            )
        if not response.started:
            joined = await self._describe(workflow_id, response.run_id)
            if joined is not None and joined.run.header.work_id != plan.header.work_id:
                return await self._start_after(joined, plan, start_id)
            state = joined.run.state if joined is not None else state
        elif self._door is not None and isinstance(plan, Plan):
            asking = SlotRequest(
                workflow_id, response.run_id, datetime.now(UTC), plan.header.pipeline_id, plan.max_active_runs
            )
            self._ask_for(self._door, GateSignal(plan.header.tenant_id, ASK_SIGNAL, asking))
        return Started(
            pipeline_logging_id_for(workflow_id, response.run_id),
            plan.header.pipeline_id,
            state.status,
            already_running=not response.started,
        )

    def _ask_for(self, door: GateDoor, knock: GateSignal) -> None:
        """Have a run's slot asked for while its caller is answered and its first task waits. Where that fails the run asks again."""

        async def ask() -> None:
            with suppress(Unavailable, DependencyRefused, RPCError):
                await door.ask(knock)

        task = asyncio.create_task(ask())
        self._askings.add(task)
        task.add_done_callback(self._askings.discard)

    async def _start_after(self, other: Execution, plan: Plan | BackfillPlan, start_id: str | None) -> Started:
        """Start where the engine answered with a run of other work: one that is in the way or, under an id that was attached to it when it
        was, one that has ended since and that the engine gives back for ever. The next id follows from both, for whoever repeats this."""
        if not other.run.state.status.is_terminal:
            busy = other.run.pipeline_logging_id
            raise PipelineBusy(f"{plan.why_alone}, and {busy} is active: call again once it has ended", busy)
        next_id = start_id and str(uuid.uuid5(uuid.UUID(start_id), other.engine_run_id))
        return await self.start(other.workflow_id, plan, start_id=next_id)

    async def describe(self, workflow_id: str) -> Execution | None:
        """See RunEngine."""
        return await self._describe(workflow_id)

    async def find(self, workflow_id: str, pipeline_logging_id: str) -> Execution | None:
        """See RunEngine."""
        latest = await self._describe(workflow_id)
        if latest is None or latest.run.pipeline_logging_id == pipeline_logging_id:
            return latest
        if latest.run.header.work_id == workflow_id:
            return None
        async for info in self._executions(workflow_id):
            if pipeline_logging_id_for(workflow_id, info.execution.run_id) == pipeline_logging_id:
                return await self._describe(workflow_id, info.execution.run_id)
        return None

    async def latest_of(self, workflow_id: str, work_id: str) -> Execution | None:
        """See RunEngine."""
        latest = await self._describe(workflow_id)
        if latest is None or latest.run.header.work_id == work_id:
            return latest
        async for info in self._executions(workflow_id):  # the latest first
            if await self._work_of(info) == work_id:
                return await self._describe(workflow_id, info.execution.run_id)
        return None

    async def plan_of(self, execution: Execution) -> Plan | None:
        """See RunEngine."""
        kept = await input_of(self._client, execution.workflow_id, execution.engine_run_id)
        return None if kept is None else await decode(self._client, kept, Plan)

    async def backfill_plan_of(self, backfill: BackfillRef) -> BackfillPlan | None:
        """See RunEngine."""
        kept = await input_of(self._client, backfill.workflow_id, backfill.engine_run_id)
        return None if kept is None else await decode(self._client, kept, BackfillPlan)

    async def listen(self, run: ActiveRun, listener: Listener) -> bool:
        """See RunEngine."""
        handle = self._client.get_workflow_handle(run.workflow_id, run_id=run.engine_run_id)
        async with unless_not_found(), engine_call():
            await handle.signal(LISTEN_SIGNAL, listener, rpc_timeout=CALL_TIMEOUT)
            return True
        return False

    async def earliest_alive_at(self, workflow_id: str, work_id: str, moment: datetime) -> Execution | None:
        """See RunEngine. Only where the latest execution began after `moment` are earlier ones listed, which lags by milliseconds."""
        latest = await self._info(workflow_id)
        if latest is None or (latest.HasField("close_time") and _utc(latest.close_time.ToDatetime()) < moment):
            return None
        alive = [latest]
        if _utc(latest.start_time.ToDatetime()) >= moment:
            ended_since = self._executions(workflow_id, f"CloseTime >= '{moment.isoformat()}'")
            alive += [info async for info in ended_since if info.execution.run_id != latest.execution.run_id]
        wanted = [info for info in alive if await self._work_of(info) == work_id]
        if not wanted:
            return None
        earliest = min(wanted, key=lambda info: info.start_time.ToDatetime())
        return await self._describe(workflow_id, earliest.execution.run_id)

    async def active(self, tenant_id: str) -> list[ActiveRun]:
        """See RunEngine."""
        listed = await running(self._client, workflow_id_prefix(tenant_id))
        return [ActiveRun(execution.id, execution.run_id) for execution in listed]

    async def queue(self, tenant_id: str) -> Queue:
        """See RunEngine. A gate shows its queue in its memo."""
        info = await self._info(gate_id(tenant_id))
        if info is None or info.HasField("close_time") or QUEUE_MEMO not in info.memo.fields:
            return Queue()
        waiting = await decode(self._client, info.memo.fields[QUEUE_MEMO], WaitingRuns)
        prefix = workflow_id_prefix(tenant_id)
        return Queue(tuple(f"{prefix}{digits}" for digits in waiting.first), waiting.length)

    async def cancel(self, run: ActiveRun) -> None:
        """See RunEngine."""
        handle = self._client.get_workflow_handle(run.workflow_id, run_id=run.engine_run_id)
        async with unless_not_found(), engine_call():
            await handle.cancel(rpc_timeout=CALL_TIMEOUT)

    async def changes(self, execution: Execution) -> AsyncGenerator[Run]:
        """See RunEngine. Follows the history, which needs no worker."""
        run = execution.run
        async with aclosing(states_of(self._client, execution)) as states:
            async for state in states:
                run = replace(run, state=state)
                yield run
        if not run.state.status.is_terminal:
            ended = await self._describe(execution.workflow_id, execution.engine_run_id)
            if ended is not None:
                yield ended.run

    async def probe(self) -> None:
        """Ask the engine for a sign of life. Raises Unavailable."""
        async with engine_call():
            if not await self._client.service_client.check_health(timeout=CALL_TIMEOUT):
                raise Unavailable("The run engine does not serve")

    async def _info(self, workflow_id: str) -> WorkflowExecutionInfo | None:
        answer = await self._answer(workflow_id)
        return None if answer is None else answer.workflow_execution_info

    async def _answer(self, workflow_id: str, engine_run_id: str = "") -> DescribeWorkflowExecutionResponse | None:
        execution = WorkflowExecution(workflow_id=workflow_id, run_id=engine_run_id)
        request = DescribeWorkflowExecutionRequest(namespace=self._client.namespace, execution=execution)
        async with unless_not_found(), engine_call():
            return await self._client.workflow_service.describe_workflow_execution(
                request, retry=True, timeout=CALL_TIMEOUT
            )
        return None

    async def _executions(self, workflow_id: str, condition: str = "") -> AsyncGenerator[WorkflowExecutionInfo]:
        """The executions of a workflow that the engine lists, the latest first. The listing lags behind by a moment."""
        query = f"WorkflowId = '{workflow_id}'{condition and f' AND {condition}'}"
        request = ListWorkflowExecutionsRequest(namespace=self._client.namespace, query=query)
        while True:
            async with engine_call():
                listed = await self._client.workflow_service.list_workflow_executions(
                    request, retry=True, timeout=CALL_TIMEOUT
                )
            for info in listed.executions:
                yield info
            if not listed.next_page_token:
                return
            request.next_page_token = listed.next_page_token

    async def _work_of(self, info: WorkflowExecutionInfo) -> str:
        return (await decode(self._client, info.memo.fields[HEADER_MEMO], RunHeader)).work_id

    async def _describe(self, workflow_id: str, engine_run_id: str = "") -> Execution | None:
        answer = await self._answer(workflow_id, engine_run_id)
        # Without a state it is no run, but what a word for one has left that the engine has lost.
        if answer is None or STATE_MEMO not in answer.workflow_execution_info.memo.fields:
            return None
        info = answer.workflow_execution_info
        state = await decode(self._client, info.memo.fields[STATE_MEMO], RunState)
        state = state_in(state, await groups_in(self._client, info.memo.fields))
        run = Run(
            pipeline_logging_id_for(workflow_id, info.execution.run_id),
            _utc(info.start_time.ToDatetime()),
            await decode(self._client, info.memo.fields[HEADER_MEMO], RunHeader),
            _closed(state, info),
        )
        steps = (pending for pending in answer.pending_activities if pending.activity_type.name == STEP_ACTIVITY)
        attempts = [pending.attempt for pending in steps]
        return Execution(workflow_id, info.execution.run_id, run, max(attempts, default=0))


def _closed(state: RunState, info: WorkflowExecutionInfo) -> RunState:
    """The state of a run, also where the engine closed it before its workflow could say how it ended."""
    if state.status.is_terminal or not info.HasField("close_time"):
        return state
    error = None if info.status in _ENDED_BY_HAND else RunError("INTERNAL", "The run engine ended the run")
    return cut_off(state, end_time=_utc(info.close_time.ToDatetime()), error=error)


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)
