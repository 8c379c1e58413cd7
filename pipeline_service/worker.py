"""The worker of this process, which executes runs, whichever process started them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import Interceptor, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from pipeline_service.activities import Activities
from pipeline_service.backfill_activities import BackfillActivities
from pipeline_service.backfill_workflow import BackfillWorkflow
from pipeline_service.gate import TenantGate
from pipeline_service.gate_activities import GateActivities
from pipeline_service.request_workflow import RequestWorkflow
from pipeline_service.workflow import RunWorkflow

WORKFLOWS = (RunWorkflow, BackfillWorkflow, RequestWorkflow, TenantGate)
_HEARTBEAT_THROTTLE = timedelta(seconds=0.3)
"""A step hears of a cancellation with its next heartbeat that is sent: by default that takes seconds."""
_STICKY_TIMEOUT = timedelta(seconds=1)
"""How long a run waits for the worker that has it in memory before any other replays it: by default a dead one's runs stand still for
10 s."""
_WORKFLOW_TASK_POLLS, _NONSTICKY_SHARE = 10, 0.5
"""Of so many requests for tasks of runs half are for those of runs that no worker knows: by default it is one of five, and new runs wait
until those that have begun are through."""
_SANDBOX = SandboxedWorkflowRunner(SandboxRestrictions.default.with_passthrough_modules("pipeline_service"))
"""Runs share one copy of their workflow's module. By default each makes its own, 2 ms and 60 kB, and leaves it to the garbage collector,
which counts objects and so lets hundreds lie about. What workflows may not do, such as asking for the time, the replay of histories shows,
which gives each a module of its own."""


@asynccontextmanager
async def working(
    client: Client,
    activities: Activities,
    gate_activities: GateActivities,
    backfill_activities: BackfillActivities,
    *,
    task_queue: str,
    max_concurrent_steps: int,
    grace_seconds: float,
    cached_runs: int = 1000,
    interceptors: Sequence[Interceptor] = (),
) -> AsyncIterator[Callable[[], None]]:
    """Execute runs meanwhile, keeping `cached_runs` in memory. What it gives begins the end, which the end of the block waits for.

    `interceptors` stand between the engine and all of it.

    At the end no new steps are taken; those under way may finish within the grace period, others go on elsewhere, their jobs untouched.
    """
    worker = Worker(
        client,
        task_queue=task_queue,
        workflows=WORKFLOWS,
        workflow_runner=_SANDBOX,
        activities=[
            activities.run_step,
            activities.decide_step,
            activities.decide_funded_step,
            activities.find_newest_row,
            activities.begin_run,
            activities.record_attempts,
            activities.end_run,
            activities.close_run,
            gate_activities.open_gate,
            gate_activities.look,
            gate_activities.recall_day,
            gate_activities.survey_runs,
            backfill_activities.find_complete_days,
            backfill_activities.start_day,
            backfill_activities.look_at_days,
            backfill_activities.stop_days,
            backfill_activities.see_closed,
        ],
        max_cached_workflows=cached_runs,
        max_concurrent_workflow_task_polls=_WORKFLOW_TASK_POLLS,
        nonsticky_to_sticky_poll_ratio=_NONSTICKY_SHARE,
        max_concurrent_activities=max_concurrent_steps,
        max_heartbeat_throttle_interval=_HEARTBEAT_THROTTLE,
        default_heartbeat_throttle_interval=_HEARTBEAT_THROTTLE,
        sticky_queue_schedule_to_start_timeout=_STICKY_TIMEOUT,
        interceptors=interceptors,
        graceful_shutdown_timeout=timedelta(seconds=grace_seconds),
    )
    ending: list[asyncio.Task[None]] = []
    async with worker:  # shut down before the loop ends, which else may abort the interpreter
        yield lambda: ending.append(asyncio.create_task(worker.shutdown()))
    await asyncio.gather(*ending)
