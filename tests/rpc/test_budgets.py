"""Budgets of bytes over gRPC, on both warehouses: what is refused, what is told, and that replicas cannot pass a budget together."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from common.warehouse.warehouse import TableRef, Warehouse
from convergence.errors.v1.error_reason_pb2 import ErrorReason
from convergence.pipeline.v1 import pipeline_service_pb2 as pb2
from convergence.pipeline.v1 import plan_pb2, run_pb2
from pipeline_service.temporal_connection import connect as connect_engine
from pipeline_service.temporal_names import gate_id
from tests.rpc.pipeline_stack import PipelineStack, configs_with, pipeline_stack
from tests.rpc.statuses import refusal_of, refused
from tests.rpc.tenant_stack import tenant_stack
from tests.temporal import forget
from tests.warehouses import Connect

MIB = 2**20
STEP_BILLS = 10 * MIB
"""Each warehouse bills this for a small table."""
DAY_BYTES = 3 * STEP_BILLS + MIB
SMALL_STEP = """
  - id: {0}
    type: query
    sql: SELECT service, cost FROM `{{source.export}}` WHERE day = '2025-11-15'
    destination: {{table: {0}, write: replace_table}}
"""
TEMPLATES = {
    "daily": "description: Bills 10 MiB for each day\nparameters: {date: {type: date, required: true}}\nsteps:"
    + SMALL_STEP.format("one"),
    "small": "description: Bills 10 MiB\nparameters: {note: {type: string}}\nsteps:" + SMALL_STEP.format("one"),
    "parallel": "description: Bills 10 MiB three times at once\nmax_bytes: 25MiB\nsteps:"
    + "".join(map(SMALL_STEP.format, ("one", "two", "three"))),
    "merged": "description: Merges what it checks\nmax_bytes: 100MiB\nsteps:"
    + SMALL_STEP.format("one").replace("replace_table", "merge, keys: [service]").rstrip()
    + "\n    checks: [{type: row_count, min: 1}]\n",
    "checked": "description: Checks what it stages\nsteps:"
    + SMALL_STEP.format("one").rstrip()
    + "\n    when: SELECT COUNT(*) > 0 FROM `{source.export}`"
    + "\n    checks: [{type: not_null, column: service}, {type: row_count, min: 1}]\n",
}


@dataclass
class Replicas:
    """Two services over one warehouse and one queue."""

    here: PipelineStack
    there: PipelineStack


@pytest.fixture
async def replicas(connect: Connect, temporal_address: str, tmp_path: Path) -> AsyncIterator[Replicas]:
    warehouse: Warehouse = connect()
    options: dict[str, Any] = {
        "configs_dir": configs_with(tmp_path, TEMPLATES),
        "temporal_task_queue": uuid.uuid4().hex,
        "max_bytes_per_tenant_per_day": DAY_BYTES,
        "max_active_runs_per_template": 20,
        "max_active_runs_per_tenant": 20,
    }
    async with (
        tenant_stack(tmp_path, warehouse) as tenants,
        pipeline_stack(tmp_path, warehouse, tenants, temporal_address, **options) as here,
        pipeline_stack(tmp_path, connect(), tenants, temporal_address, **options) as there,
    ):
        yield Replicas(here, there)


async def plan_of(stack: PipelineStack, tenant_id: str, key: Any, name: str) -> plan_pb2.TemplatePlan:
    request = plan_pb2.PlanTemplateRequest(tenant_id=tenant_id, provider="gcp", domain="test", template_name=name)
    answer: plan_pb2.TemplatePlan = await stack.stub.PlanTemplate(request, metadata=key, timeout=30)
    return answer


def outcome_of(run: run_pb2.Run) -> str:
    return ErrorReason.Name(run.error.reason) if run.HasField("error") else run_pb2.Run.Status.Name(run.status)


async def billed_by(warehouse: Warehouse, tenant_id: str) -> int:
    """What the records say that the tenant's steps have billed."""
    return sum(int(str(row["bytes_billed"])) for row in await warehouse.list_rows(TableRef(tenant_id, "step_logs")))


async def test_runs_on_two_replicas_cannot_pass_the_day_of_their_tenant_together(replicas: Replicas) -> None:
    tenant_id, key = await replicas.here.onboard()
    other_id, other_key = await replicas.here.onboard()

    async def run(number: int) -> str:
        stack = (replicas.here, replicas.there)[number % 2]
        try:
            return outcome_of(await stack.run(tenant_id, key, "small", date="", parameters={"note": str(number)}))
        except grpc.aio.AioRpcError as error:  # the day was used up before this one was accepted
            return refusal_of(error).reason

    plan = await plan_of(replicas.here, tenant_id, key, "small")
    assert plan.budget == plan_pb2.PlanBudget(max_bytes_per_day=DAY_BYTES, bytes_left_of_day=DAY_BYTES, fits=True)
    assert Counter(await asyncio.gather(*map(run, range(6)))) == {"COMPLETE": 3, "BUDGET_EXCEEDED": 3}
    assert await billed_by(replicas.here.warehouse, tenant_id) == 3 * STEP_BILLS

    left = DAY_BYTES - 3 * STEP_BILLS
    plan = await plan_of(replicas.there, tenant_id, key, "small")
    assert (plan.budget.bytes_left_of_day, plan.budget.fits) == (left, False)
    refusal = await refused(replicas.there.start(tenant_id, key, "small", date=""))
    assert (refusal.code, refusal.reason, refusal.retry) == ("RESOURCE_EXHAUSTED", "BUDGET_EXCEEDED", True)
    assert refusal.metadata == {"bytes_left": str(left)}
    assert outcome_of(await replicas.there.run(other_id, other_key, "small", date="")) == "COMPLETE"


async def test_a_day_is_summed_up_from_the_records_where_the_engine_has_forgotten_the_gate(
    replicas: Replicas, temporal_address: str
) -> None:
    tenant_id, key = await replicas.here.onboard()
    for number in range(3):
        run = await replicas.here.run(tenant_id, key, "small", date="", parameters={"note": str(number)})
        assert outcome_of(run) == "COMPLETE"
    client = await connect_engine(temporal_address, namespace="default")
    await forget(client, gate_id(tenant_id))
    assert outcome_of(await replicas.there.run(tenant_id, key, "small", date="")) == "BUDGET_EXCEEDED"
    refusal = await refused(replicas.here.start(tenant_id, key, "small", date=""))
    assert refusal.metadata == {"bytes_left": str(DAY_BYTES - 3 * STEP_BILLS)}


async def test_parallel_steps_cannot_pass_the_budget_of_a_template_together(replicas: Replicas) -> None:
    tenant_id, key = await replicas.here.onboard()
    assert (await plan_of(replicas.here, tenant_id, key, "parallel")).budget.max_bytes_per_run == 25 * MIB
    assert not (await plan_of(replicas.here, tenant_id, key, "parallel")).budget.fits
    run = await replicas.here.run(tenant_id, key, "parallel", date="")
    assert Counter(run_pb2.Step.Status.Name(step.status) for step in run.steps) == {"COMPLETE": 2, "FAILED": 1}
    (failed,) = [step for step in run.steps if step.status == run_pb2.Step.FAILED]
    assert (ErrorReason.Name(failed.error.reason), failed.bytes_billed, failed.stage_job_id) == (
        "BUDGET_EXCEEDED",
        0,
        "",
    )
    assert f"{5 * MIB} are left of the {25 * MIB} that the run may bill" in failed.error.message
    retry = pb2.RetryRunRequest(pipeline_logging_id=run.pipeline_logging_id)
    again = await replicas.there.stub.RetryRun(retry, metadata=key, timeout=30)
    run = await replicas.there.end_of(key, again.pipeline_logging_id)
    assert outcome_of(run) == "COMPLETE", "a retry is another run"
    refusal = await refused(replicas.here.start(tenant_id, key, "small", date=""))
    assert refusal.metadata == {"bytes_left": str(DAY_BYTES - 3 * STEP_BILLS)}


async def test_a_backfill_is_refused_once_the_day_is_used_up_and_fails_the_days_that_do_not_fit(
    replicas: Replicas,
) -> None:
    tenant_id, key = await replicas.here.onboard()

    async def start(last: str) -> str:
        request = pb2.BackfillTemplateRequest(
            tenant_id=tenant_id,
            provider="gcp",
            domain="test",
            template_name="daily",
            start_date="2025-11-01",
            end_date=last,
        )
        answer = await replicas.there.stub.BackfillTemplate(request, metadata=key, timeout=30)
        return str(answer.pipeline_logging_id)

    run = await replicas.here.end_of(key, await start("2025-11-05"))
    assert outcome_of(run) == "DAYS_FAILED"
    assert (run.backfill.complete_days, run.backfill.failed_days) == (3, 2)
    failed = [day for day in run.backfill.days if day.status == run_pb2.Backfill.FAILED]
    for day in failed:
        assert outcome_of(await replicas.there.end_of(key, day.pipeline_logging_id)) == "BUDGET_EXCEEDED"
    assert await billed_by(replicas.here.warehouse, tenant_id) == 3 * STEP_BILLS

    refusal = await refused(start("2025-11-06"))
    assert (refusal.code, refusal.reason, refusal.retry) == ("RESOURCE_EXHAUSTED", "BUDGET_EXCEEDED", True)
    assert refusal.metadata == {"bytes_left": str(DAY_BYTES - 3 * STEP_BILLS)}
    retry = pb2.RetryRunRequest(pipeline_logging_id=run.pipeline_logging_id)
    assert (await refused(replicas.here.stub.RetryRun(retry, metadata=key, timeout=30))).reason == "BUDGET_EXCEEDED"


async def test_conditions_and_checks_count_and_give_back_what_they_do_not_bill(replicas: Replicas) -> None:
    tenant_id, key = await replicas.here.onboard()
    run = await replicas.here.run(tenant_id, key, "checked", date="")
    # A condition and a query are billed; then the checks, and the sample of the first, may bill 10 MiB and some bytes each.
    assert (outcome_of(run), run.steps[0].bytes_billed) == ("BUDGET_EXCEEDED", STEP_BILLS)
    assert f"{DAY_BYTES - 2 * STEP_BILLS} are left of the {DAY_BYTES}" in run.error.message
    with pytest.raises(grpc.aio.AioRpcError) as missing:
        await replicas.here.rows(tenant_id, key, "one")
    assert refusal_of(missing.value).reason == "TABLE_NOT_FOUND", "nothing was published"
    plan = await plan_of(replicas.here, tenant_id, key, "small")
    assert (plan.budget.bytes_left_of_day, plan.budget.fits) == (DAY_BYTES - 2 * STEP_BILLS, True)


async def test_a_merge_is_reserved_once_its_checks_have_passed_and_counts_what_it_bills(
    connect: Connect, temporal_address: str, tmp_path: Path
) -> None:
    warehouse = connect()
    configs_dir = configs_with(tmp_path, TEMPLATES)
    async with (
        tenant_stack(tmp_path, warehouse) as tenants,
        pipeline_stack(tmp_path, warehouse, tenants, temporal_address, configs_dir=configs_dir) as stack,
    ):
        tenant_id, key = await stack.onboard()
        runs = [await stack.run(tenant_id, key, "merged", date="") for _ in range(2)]
        assert [outcome_of(run) for run in runs] == ["COMPLETE", "COMPLETE"]
        [first], [second] = [run.steps for run in runs]
        assert (first.attempts, second.attempts) == (1, 1)
        # The query and the check; on BigQuery the check of the keys, and then the MERGE of two tables, since the first merge is a copy.
        merges = (STEP_BILLS, 3 * STEP_BILLS) if "BigQuery" in type(warehouse).__name__ else (0, 0)
        assert [first.bytes_billed, second.bytes_billed] == [2 * STEP_BILLS + merge for merge in merges]
        assert await billed_by(warehouse, tenant_id) == first.bytes_billed + second.bytes_billed
        checks = await warehouse.list_rows(TableRef(tenant_id, "dq_results"))
        assert len(checks) == 2, "decided once in each run"
