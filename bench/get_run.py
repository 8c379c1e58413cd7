"""GetRun of an active run beside a bare Temporal describe of the same workflow."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

from bench.plans import billing_plan
from bench.report import Ratio
from bench.rounds import Rounds, in_turn
from bench.stack import Stack, Tenant
from convergence.pipeline.v1.pipeline_service_pb2 import GetRunRequest
from convergence.pipeline.v1.run_pb2 import Run as RunMessage
from pipeline_service.gate_door import GateDoor
from pipeline_service.gate_messages import Limits, SlotRequest
from pipeline_service.run import CheckOutcome, Run
from pipeline_service.run_id import workflow_id_for
from pipeline_service.step_result import Billed, NewestRow, StepResult, StepTask
from pipeline_service.temporal_engine import TemporalEngine
from pipeline_service.temporal_gates import TemporalGates
from pipeline_service.temporal_names import LEAVE_SIGNAL, gate_id
from pipeline_service.workflow import RunWorkflow

BOUND = 3.0
DAY = "2025-11-15"
HEARTBEAT_SECONDS = 1.0


async def measure(stack: Stack, tenant: Tenant, rounds: Rounds) -> Ratio:
    """The run has its first step and all its checks behind it and is held in the second, so that it costs nobody any time."""
    async with _held_run(stack, tenant.tenant_id) as held:
        request = GetRunRequest(pipeline_logging_id=held.pipeline_logging_id)
        run = await stack.pipelines.GetRun(request, **tenant.call)
        assert run.status == RunMessage.RUNNING, run
        assert run.steps[0].checks, run
        handle = stack.temporal.get_workflow_handle(held.workflow_id)
        taken = await in_turn(
            {"describe": handle.describe, "get": lambda: stack.pipelines.GetRun(request, **tenant.call)},
            rounds=rounds.calls,
        )
    return Ratio("GetRun of an active run / bare describe", taken["get"], taken["describe"], BOUND)


@dataclass(frozen=True, slots=True)
class _Held:
    workflow_id: str
    pipeline_logging_id: str


@contextlib.asynccontextmanager
async def _held_run(stack: Stack, tenant_id: str) -> AsyncIterator[_Held]:
    """A run on a task queue of ours: the service's own workflow, whose activities do nothing."""
    queue = f"bench-{uuid.uuid4()}"
    door = GateDoor(TemporalGates(stack.temporal, task_queue=queue), Limits(per_tenant=10, per_template=5))
    engine = TemporalEngine(stack.temporal, task_queue=queue, door=door)
    plan = billing_plan(tenant_id, DAY)
    workflow_id = workflow_id_for(tenant_id, plan.header.pipeline_id, {"held": queue})
    idle = _IdleActivities(stack.temporal)
    activities: list[Callable[..., Any]] = [
        idle.begin_run,
        idle.find_newest_row,
        idle.run_step,
        idle.close_run,
    ]
    async with Worker(stack.temporal, task_queue=queue, workflows=[RunWorkflow], activities=activities):
        started = await engine.start(workflow_id, plan)
        await idle.holding.wait()
        yield _Held(workflow_id, started.pipeline_logging_id)
        idle.released.set()
        await stack.temporal.get_workflow_handle(workflow_id).result()


class _IdleActivities:
    """Named as the service's: the first step ends at once, all its checks passed; the second when it is let go."""

    def __init__(self, temporal: Client) -> None:
        self._temporal = temporal
        self.holding, self.released = asyncio.Event(), asyncio.Event()

    @activity.defn
    async def begin_run(self, run: Run) -> None:
        """Record nothing."""

    @activity.defn
    async def close_run(self, run: Run, asking: SlotRequest) -> None:
        """Record nothing, and give the slot back."""
        await self._temporal.get_workflow_handle(gate_id(run.header.tenant_id)).signal(LEAVE_SIGNAL, asking)

    @activity.defn
    async def find_newest_row(self, _task: StepTask) -> NewestRow:
        """Look nowhere."""
        return NewestRow(None, Billed())

    @activity.defn
    async def run_step(self, task: StepTask) -> StepResult:
        """A `query` step yields a full result; the others are held."""
        if task.step.query is not None:
            checks = tuple(CheckOutcome(c.name, c.type, c.severity, True, 0, "1", "1") for c in task.step.checks)
            return StepResult(1, 1000, 1000, 10**9, 10**9, checks)
        self.holding.set()
        while not self.released.is_set():
            activity.heartbeat()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.released.wait(), HEARTBEAT_SECONDS)
        return StepResult()
