"""A run of three small steps from trigger to COMPLETE, records included: what it takes beside its SQL, against a bare workflow."""

import asyncio
import itertools
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from statistics import median

from temporalio.worker import Worker

from bench.bare_workflow import BareWorkflow, bare_activity
from bench.configs import THREE_STEPS
from bench.report import Ratio
from bench.rounds import Rounds, in_turn
from bench.stack import CALL_SECONDS, Stack, Tenant
from common.clock import SystemClock
from common.templates.catalog import default_configs_dir
from common.templates.load import load_template
from common.templates.resolve import resolve
from common.warehouse.schemas import load_table_spec
from common.warehouse.warehouse import Destination, Job, QueryJob, ReplaceJob
from convergence.pipeline.v1.pipeline_service_pb2 import RunTemplateRequest, WatchRunRequest
from convergence.pipeline.v1.run_pb2 import Run as RunMessage
from pipeline_service.plan import Plan, PlanStep
from pipeline_service.price import Price
from pipeline_service.records import CHECKS, RUNS, STEPS, Records
from pipeline_service.run import Run, RunStatus
from pipeline_service.run_id import pipeline_logging_id_for
from pipeline_service.step_result import AttemptRecord, RunRef
from pipeline_service.steps.attempt import PUBLISH, STAGE, Attempt, day_of

TENANT_ID = "three_steps"
BOUND = 2.0
FIRST_DAY = date(2025, 1, 1)
QUEUE = "bench-bare"


async def measure(stack: Stack, rounds: Rounds, configs_dir: Path) -> tuple[Ratio, Ratio]:
    """Every run names another day. The statements of a run are sent directly in the order in which it sends them."""
    tenant = await stack.onboard(TENANT_ID)
    days = (FIRST_DAY + timedelta(days=number) for number in itertools.count())
    direct = _Direct(stack, configs_dir)

    async def bare() -> None:
        await stack.temporal.execute_workflow(BareWorkflow.run, id=str(uuid.uuid4()), task_queue=QUEUE)

    async with Worker(stack.temporal, task_queue=QUEUE, workflows=[BareWorkflow], activities=[bare_activity]):
        taken = await in_turn(
            {"run": lambda: _run(stack, tenant, days), "sql": lambda: direct.run(next(days)), "bare": bare},
            rounds=rounds.small_runs,
        )
    sql_seconds = median(taken["sql"])
    beside = [seconds - sql_seconds for seconds in taken["run"]]
    return (
        Ratio("three-step run less its SQL / bare three activities", beside, taken["bare"], BOUND),
        Ratio("three-step run / its SQL sent directly", taken["run"], taken["sql"]),
    )


async def _run(stack: Stack, tenant: Tenant, days: Iterator[date]) -> None:
    request = RunTemplateRequest(tenant_id=tenant.tenant_id, date=next(days).isoformat(), **THREE_STEPS._asdict())
    started = await stack.pipelines.RunTemplate(request, **tenant.call)
    watch = WatchRunRequest(pipeline_logging_id=started.pipeline_logging_id)
    *_, run = [state async for state in stack.pipelines.WatchRun(watch, **tenant.call)]
    assert run.status == RunMessage.COMPLETE, run


class _Direct:
    """What a run sends to the warehouse, with nothing around: no engine, no gate, nobody who watches."""

    def __init__(self, stack: Stack, configs_dir: Path) -> None:
        schemas = default_configs_dir() / "metadata" / "schemas"
        specs = {name: load_table_spec(schemas / f"{name}.json") for name in (RUNS, STEPS, CHECKS)}
        self._warehouse = stack.warehouse
        self._records = Records(stack.warehouse, specs, SystemClock())
        self._template = load_template((configs_dir / f"{THREE_STEPS}.yml").read_bytes(), THREE_STEPS)

    async def run(self, day: date) -> None:
        """Begin the record; stage, publish and record each step; record the end; drop what was staged. One statement after the other: what
        a run has done at the same time is time that it takes all the same."""
        resolved = resolve(
            self._template, tenant_id=TENANT_ID, sources={}, date=day.isoformat(), parameters={}, today=day
        )
        plan = Plan.of(resolved, trigger_by="bench", principal="bench")
        run_id = pipeline_logging_id_for(plan.workflow_id, str(uuid.uuid4()))
        run = Run(run_id, datetime.now(UTC), plan.header, plan.first_state())
        attempts = [_attempt(run, step) for step in plan.steps]
        await self._records.begin_run(run, attempt=1)
        for attempt in attempts:
            await self._records.add_attempt(attempt.run, await self._step(attempt))
        await self._records.end_run(_ended(run), attempt=1)
        await asyncio.gather(*(self._warehouse.delete_table(attempt.stage) for attempt in attempts))

    async def _step(self, attempt: Attempt) -> AttemptRecord:
        query = attempt.step.query
        assert query is not None
        start_time = datetime.now(UTC)
        stage = Destination(attempt.stage, query.destination.partition_column, expire_time=attempt.stage_expire_time)
        await self._job(QueryJob(attempt.job_id(STAGE, 1), query.select.statement(), stage, attempt.labels))
        partition = day_of(query.destination.partition)
        await self._job(
            ReplaceJob(attempt.job_id(PUBLISH, 1), attempt.stage, attempt.target, partition, attempt.labels)
        )
        return AttemptRecord.of(attempt.step, attempt.result(), start_time=start_time, end_time=datetime.now(UTC))

    async def _job(self, job: Job) -> None:
        await self._warehouse.submit(job)
        await self._warehouse.wait(job.job_id, timeout_seconds=CALL_SECONDS)


def _attempt(run: Run, step: PlanStep) -> Attempt:
    return Attempt(
        RunRef(run.pipeline_logging_id, run.header.pipeline_id, run.header.tenant_id, run.create_time),
        step,
        number=1,
        schedule_time=run.create_time,
        leaves_jobs=lambda: False,
        price=Price(Decimal(0)),
    )


def _ended(run: Run) -> Run:
    return replace(run, state=replace(run.state, status=RunStatus.COMPLETE, end_time=datetime.now(UTC)))
