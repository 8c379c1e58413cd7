"""A day of 1,000,000 rows: the run of the billing template, from trigger to its end, beside its own statements sent to the warehouse."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from bench.plans import DOMAIN, PROVIDER, TEMPLATE, billing_plan
from bench.report import Finding, Ratio, Size
from bench.rounds import Rounds, in_turn
from bench.stack import CALL_SECONDS, Stack, Tenant
from common.warehouse.warehouse import Destination, Job, QueryJob, ReplaceJob, Statement, TableRef, Warehouse
from convergence.pipeline.v1.pipeline_service_pb2 import RunTemplateRequest, WatchRunRequest
from convergence.pipeline.v1.run_pb2 import Run
from local_stack.sample_catalog import PROFILES
from local_stack.sample_data import LOCATION, SPEC, export_table
from local_stack.sample_export import MICROSECONDS, generate
from local_stack.warehouse.upload import upload
from pipeline_service.plan import Plan, PlanQuery, PlanStep

TENANT_ID = "million_rows"
DAY = date(2025, 11, 15)
TIME_BOUND = 1.5
MEMORY_BOUND_MEGABYTES = 50.0
SAMPLE_SECONDS = 0.02


async def measure(stack: Stack, rounds: Rounds) -> tuple[Finding, ...]:
    """Time, and how far the service's memory grew above what it was before the first of the runs."""
    await _load_export(stack, rounds.export_rows)
    tenant = await stack.onboard(TENANT_ID)
    direct = _Direct(stack.warehouse, billing_plan(TENANT_ID, DAY.isoformat()))
    async with _peak_megabytes(stack) as samples:
        taken = await in_turn(
            {"direct": direct.run, "run": lambda: _run(stack, tenant, rounds.export_rows)}, rounds=rounds.runs
        )
    day = f"{rounds.export_rows:,}-row day"
    return (
        Ratio(f"{day}: run / its statements sent directly", taken["run"], taken["direct"], TIME_BOUND),
        Size(f"{day}: growth of pipeline_service", max(samples) - samples[0], MEMORY_BOUND_MEGABYTES),
    )


async def _load_export(stack: Stack, count: int) -> None:
    """The generated export of three months, all of it put on one day and repeated as often as it takes."""
    ref = export_table(TENANT_ID)
    await stack.warehouse.create_dataset(ref.dataset, location=LOCATION, labels={"generated": "true"})
    rows = await asyncio.to_thread(generate, PROFILES[0])
    midnight: Any = pa.scalar(datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC), MICROSECONDS)
    hours = pc.hour(rows["usage_start_time"])
    times = pc.add(midnight, pc.multiply(hours, 3_600_000_000).cast(pa.duration("us")))
    place = rows.schema.get_field_index("usage_start_time")
    day = rows.set_column(place, rows.schema.field(place), times)
    repeated = pa.concat_tables([day] * -(-count // day.num_rows)).slice(0, count)
    address = stack.running.addresses["warehouse"]
    await asyncio.to_thread(
        upload, address, stack.warehouse_token, ref, SPEC, repeated.to_reader(max_chunksize=64 * 1024)
    )


async def _run(stack: Stack, tenant: Tenant, count: int) -> None:
    request = RunTemplateRequest(
        tenant_id=TENANT_ID, provider=PROVIDER, domain=DOMAIN, template_name=TEMPLATE, date=DAY.isoformat()
    )
    started = await stack.pipelines.RunTemplate(request, **tenant.call)
    watch = WatchRunRequest(pipeline_logging_id=started.pipeline_logging_id)
    *_, run = [state async for state in stack.pipelines.WatchRun(watch, **tenant.call)]
    assert run.status == Run.COMPLETE, run
    [line_items] = [check for step in run.steps for check in step.checks if check.name == "reconcile_line_items"]
    assert int(line_items.expected) == count, line_items


class _Direct:
    """The statements of a plan as the service sends them, with nothing around: no engine, no records."""

    def __init__(self, warehouse: Warehouse, plan: Plan) -> None:
        self._warehouse = warehouse
        self._plan = plan
        self._numbers = itertools.count()

    async def run(self) -> None:
        """Stage, check, publish; check what is published."""
        for step in self._plan.steps:
            if step.query is not None:
                await self._query(step, step.query, next(self._numbers))
            elif step.checked is not None:
                day, column = step.checked.partition, step.checked.partition_column
                await self._check(step, f"SELECT * FROM `{step.checked.table}` WHERE {column} = DATE '{day}'")

    async def _query(self, step: PlanStep, query: PlanQuery, number: int) -> None:
        stage = TableRef(TENANT_ID, f"_stage_bench_{number}")
        destination = Destination(stage, query.destination.partition_column, query.clustering)
        await self._job(QueryJob(f"bench_{number}_stage", query.select.statement(), destination))
        await self._check(step, f"SELECT * FROM `{stage}`")
        await self._job(ReplaceJob(f"bench_{number}_publish", stage, TableRef.parse(query.destination.table), DAY))

    async def _check(self, step: PlanStep, checked: str) -> None:
        prefix = f"WITH checked AS ({checked}) "
        await asyncio.gather(*(self._read_all(check.measure.statement(prefix)) for check in step.checks))

    async def _read_all(self, statement: Statement) -> None:
        stream = await self._warehouse.read(statement, timeout_seconds=CALL_SECONDS)
        [_] = [row async for page in stream for row in page]

    async def _job(self, job: Job) -> None:
        await self._warehouse.submit(job)
        await self._warehouse.wait(job.job_id, timeout_seconds=CALL_SECONDS)


@contextlib.asynccontextmanager
async def _peak_megabytes(stack: Stack) -> AsyncIterator[list[float]]:
    """Samples of the service's memory, the first from before the block."""
    samples = [stack.resident_megabytes("pipeline_service")]

    async def sample() -> None:
        while True:
            samples.append(stack.resident_megabytes("pipeline_service"))
            await asyncio.sleep(SAMPLE_SECONDS)

    sampling = asyncio.create_task(sample())
    try:
        yield samples
    finally:
        sampling.cancel()
