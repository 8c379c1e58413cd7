"""PlanTemplate over a real connection and on both warehouses: it tells what a run then does, what that reads, and what is new."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from common.warehouse.warehouse import TableRef, Warehouse
from convergence.pipeline.v1 import plan_pb2, run_pb2
from convergence.tenant.v1 import tenant_service_pb2 as tenant_pb2
from tests.contract.work import execute
from tests.rpc.life_calls import BOUNDS, PIPELINE_BOUNDS
from tests.rpc.pipeline_stack import DAY, TEMPLATES, PipelineStack, configs_with, pipeline_stack
from tests.rpc.statuses import until
from tests.rpc.system import NEVER
from tests.rpc.tenant_stack import tenant_stack
from tests.waiting import PAUSE_SECONDS

pytestmark = pytest.mark.asyncio(loop_scope="module")

NEXT_DAY = "2025-11-16"
MINIMUM = 10 * 2**20
STEPS = {
    "kept": "SELECT @date AS day, @kind AS kind",
    "edited": "SELECT 1 AS number",
    "dropped": "SELECT 2 AS number",
    "new": "SELECT 3 AS number",
}


def template(*steps: str, kind: str = "{type: string, default: a}", **edits: str) -> str:
    """A template of these of STEPS."""
    listed = "".join(
        f"  - {{id: {name}, type: query, sql: '{edits.get(name, STEPS[name])}', "
        f"destination: {{table: {name}_table, write: replace_table}}}}\n"
        for name in steps
    )
    parameters = f"{{date: {{type: date, required: true}}, kind: {kind}}}"
    return f"description: Of these tests\nparameters: {parameters}\nsteps:\n{listed}"


EDITED = ("changing", "retyped", "forgotten")
"""One for each test that edits its template."""
MORE = {
    **{name: template("kept", "edited", "dropped") for name in EDITED},
    "wrong": template("kept", "edited", edited="SELECT number FROM `{tenant_id}.kept_table`"),
    "conditional": """
description: Of these tests
steps:
  - id: robot
    type: query
    credential: robot
    when: SELECT COUNT(*) > 0 FROM `{source.export}`
    sql: SELECT * FROM `{source.export}`
    max_bytes_billed: 1GiB
    destination: {table: copied, write: replace_table}
  - id: own
    type: query
    when: SELECT COUNT(*) > 0 FROM `{source.export}`
    sql: SELECT * FROM `{source.export}`
    destination: {table: other, write: replace_table}
""",
}


@dataclass
class Planning:
    """The services, and where their templates lie."""

    stack: PipelineStack
    warehouse: Warehouse
    templates: Path

    async def plan(
        self, tenant_id: str, key: Any, template_name: str = "daily", **fields: Any
    ) -> plan_pb2.TemplatePlan:
        names = {"provider": "gcp", "domain": "test", "template_name": template_name}
        request = plan_pb2.PlanTemplateRequest(tenant_id=tenant_id, **{**names, "date": DAY, **fields})
        answer: plan_pb2.TemplatePlan = await self.stack.stub.PlanTemplate(request, metadata=key, timeout=30)
        return answer

    async def edit(self, tenant_id: str, key: Any, name: str, text: str) -> None:
        """Change one of EDITED, and return once the service has it."""
        before = (await self.plan(tenant_id, key, name)).template_digest
        (self.templates / f"{name}.yml").write_text(text)

        async with asyncio.timeout(20):
            while (await self.plan(tenant_id, key, name)).template_digest == before:  # noqa: ASYNC110 - files have no event
                await asyncio.sleep(PAUSE_SECONDS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def planning(shared_warehouse: Warehouse, shared_folder: Path, temporal_address: str) -> AsyncIterator[Planning]:
    configs_dir = configs_with(shared_folder, {**TEMPLATES, **MORE})
    async with (
        tenant_stack(shared_folder, shared_warehouse, **BOUNDS) as tenants,
        pipeline_stack(
            shared_folder, shared_warehouse, tenants, temporal_address, configs_dir=configs_dir, **PIPELINE_BOUNDS
        ) as stack,
    ):
        yield Planning(stack, shared_warehouse, configs_dir / "gcp" / "test")


def by_id(plan: plan_pb2.TemplatePlan) -> dict[str, plan_pb2.PlannedStep]:
    return {step.step_id: step for step in plan.steps}


def changes(plan: plan_pb2.TemplatePlan) -> list[tuple[str, str]]:
    return [(step.step_id, plan_pb2.StepDifference.Change.Name(step.change)) for step in plan.difference.steps]


async def test_a_plan_tells_all_that_a_run_then_does(planning: Planning) -> None:
    tenant_id, key = await planning.stack.onboard()
    plan = await planning.plan(tenant_id, key)
    assert plan.pipeline_id == f"{tenant_id}-gcp-test-daily"
    assert plan.parameters == {"date": DAY, "note": "none"}
    load, verify = plan.steps
    assert (load.step_id, load.type, list(load.depends_on), load.write) == ("load", "query", [], "replace_partition")
    assert load.query.sql == f"SELECT * FROM `export_{tenant_id}.rows` WHERE day = @date"
    assert list(load.query.tables) == [f"export_{tenant_id}.rows"]
    (date,) = load.query.parameters
    assert (date.name, date.type, [value.text for value in date.values], date.array) == ("date", "DATE", [DAY], False)
    touched = plan_pb2.PlannedTable(table="cost", partition_column="day", partition=DAY)
    assert load.destination == verify.checked == touched
    assert not load.HasField("condition")
    assert [field.name for field, _ in verify.ListFields()] == [
        *("step_id", "type", "depends_on", "checked", "checks", "estimate"),
    ]
    assert list(verify.depends_on) == ["load"]
    severity = run_pb2.CheckResult.ERROR
    assert [(check.name, check.type, check.severity) for check in load.checks] == [
        ("not_null_service", "not_null", severity),
        ("row_count", "row_count", severity),
    ]
    assert [check.name for check in verify.checks] == ["unique", "total"]
    assert f"export_{tenant_id}.rows" in verify.checks[1].measure.tables

    run = await planning.stack.run(tenant_id, key)
    assert run.parameters == plan.parameters
    assert [(step.step_id, step.type) for step in run.steps] == [(step.step_id, step.type) for step in plan.steps]
    assert run.steps[0].destination_table == load.destination.table


async def test_a_plan_tells_what_is_read_and_costs_and_where_that_is_known_from(planning: Planning) -> None:
    tenant_id, key = await planning.stack.onboard()
    before = await planning.plan(tenant_id, key)
    load, verify = (step.estimate for step in before.steps)
    assert load.basis in (plan_pb2.StepEstimate.DRY_RUN, plan_pb2.StepEstimate.TABLE_SIZES)
    assert 0 < load.bytes_processed < load.bytes_billed == MINIMUM
    assert load.cost_usd == "0.000059605", "10 MB at 6.25 USD a TiB"
    assert verify == plan_pb2.StepEstimate(
        basis=plan_pb2.StepEstimate.UNKNOWN, unknown_because="A table that it reads does not exist yet"
    ), "nothing was ever published"
    assert not before.total.complete
    assert (before.total.bytes_billed, before.total.cost_usd) == (MINIMUM, load.cost_usd)
    assert before.total.price_per_tib_usd == "6.25"

    run = await planning.stack.run(tenant_id, key)
    after = await planning.plan(tenant_id, key)
    load, verify = (step.estimate for step in after.steps)
    assert verify.bytes_processed == run.steps[1].bytes_processed, "each check once; none has failed"
    assert verify.bytes_billed == 3 * MINIMUM, "two checks read the table, and one the export besides"
    assert after.total.complete
    assert after.total.bytes_processed == load.bytes_processed + verify.bytes_processed
    assert Decimal(after.total.cost_usd) == Decimal(4 * MINIMUM * 6.25 / 2**40).quantize(Decimal("1E-9"))


async def test_a_plan_of_one_query_is_exactly_what_it_then_reads(planning: Planning) -> None:
    tenant_id, key = await planning.stack.onboard()
    planned = (await planning.plan(tenant_id, key, "conditional", date="")).steps[1].estimate
    condition = query = planned.bytes_processed // 2
    run = await planning.stack.run(tenant_id, key, "conditional", date="")
    assert run.steps[1].bytes_processed == query > 0
    assert planned.bytes_processed == condition + query
    assert planned.bytes_billed == 2 * MINIMUM


async def test_a_query_of_a_tenants_account_is_not_tried_as_the_service(planning: Planning) -> None:
    tenant_id, key = await planning.stack.onboard()
    robot = by_id(await planning.plan(tenant_id, key, "conditional", date=""))["robot"]
    assert (robot.credential, robot.max_bytes_billed) == ("robot", 2**30)
    assert robot.condition.sql.startswith("SELECT ")
    assert robot.estimate == plan_pb2.StepEstimate(
        basis=plan_pb2.StepEstimate.UNKNOWN, unknown_because="The query runs as an account of the tenant's"
    )


async def test_a_plan_tells_of_a_query_that_does_not_compile_what_a_run_would(planning: Planning) -> None:
    tenant_id, key = await planning.stack.onboard()
    await planning.stack.run(tenant_id, key, "wrong")
    kept, edited = (step.estimate for step in (await planning.plan(tenant_id, key, "wrong")).steps)
    assert kept.bytes_processed == 0, "it reads no table"
    assert edited.basis == plan_pb2.StepEstimate.UNKNOWN
    run = await planning.stack.run(tenant_id, key, "wrong", date=NEXT_DAY)
    assert edited.unknown_because == run.steps[1].error.message


async def test_planning_writes_and_starts_nothing(planning: Planning) -> None:
    tenant_id, key = await planning.stack.onboard()

    async def footprint() -> Any:
        tables = await planning.warehouse.list_tables(tenant_id)
        rows = {str(table): len(await planning.warehouse.list_rows(table)) for table in tables}
        return rows, (await planning.warehouse.get_dataset(tenant_id)).etag

    before = await footprint()
    await planning.plan(tenant_id, key)
    assert await footprint() == before
    run = await planning.stack.start(tenant_id, key)
    assert not run.already_running


async def test_a_suspended_tenant_may_plan_what_it_may_not_run(planning: Planning) -> None:
    tenant_id, key = await planning.stack.onboard()
    suspend = tenant_pb2.SuspendTenantRequest(tenant_id=tenant_id)
    await planning.stack.tenants.stub.SuspendTenant(suspend, metadata=planning.stack.tenants.as_admin, timeout=30)
    suspended = ("FAILED_PRECONDITION", "TENANT_SUSPENDED")
    await until(lambda: planning.stack.start(tenant_id, key, "nothing"), suspended, seconds=5)
    assert len((await planning.plan(tenant_id, key)).steps) == 2


async def test_a_plan_names_the_last_run_and_that_nothing_changed(planning: Planning) -> None:
    tenant_id, key = await planning.stack.onboard()
    assert not (await planning.plan(tenant_id, key)).HasField("difference")
    await planning.stack.run(tenant_id, key)
    last = await planning.stack.run(tenant_id, key, date=NEXT_DAY)
    plan = await planning.plan(tenant_id, key)
    assert plan.difference.pipeline_logging_id == last.pipeline_logging_id
    assert plan.difference.create_time == last.create_time
    assert plan.difference.last_run_digest == plan.template_digest
    assert not plan.difference.changed
    assert changes(plan) == [("load", "UNCHANGED"), ("verify", "UNCHANGED")]
    other = await planning.plan(tenant_id, key, "list", date="")
    assert not other.HasField("difference"), "of another template"


async def test_a_plan_tells_which_steps_an_edit_has_changed_whatever_the_parameters(planning: Planning) -> None:
    tenant_id, key = await planning.stack.onboard(export=False)
    digest = (await planning.plan(tenant_id, key, "changing")).template_digest
    await planning.stack.run(tenant_id, key, "changing", parameters={"kind": "b"})
    await planning.edit(tenant_id, key, "changing", template("kept", "edited", "new", edited="SELECT 4 AS number"))
    plan = await planning.plan(tenant_id, key, "changing", date=NEXT_DAY)
    assert plan.difference.changed
    assert plan.difference.last_run_digest == digest != plan.template_digest
    assert changes(plan) == [
        ("kept", "UNCHANGED"),
        ("edited", "CHANGED"),
        ("new", "ADDED"),
        ("dropped", "REMOVED"),
    ]


async def test_a_template_that_does_not_take_the_last_runs_parameters_only_differs(planning: Planning) -> None:
    tenant_id, key = await planning.stack.onboard(export=False)
    await planning.stack.run(tenant_id, key, "retyped", parameters={"kind": "b"})
    await planning.edit(tenant_id, key, "retyped", template("kept", kind="{type: enum, values: [a, c], default: a}"))
    plan = await planning.plan(tenant_id, key, "retyped")
    assert plan.difference.changed
    assert not plan.difference.steps


async def test_a_run_that_the_engine_forgot_is_known_by_its_digest_alone(planning: Planning) -> None:
    tenant_id, key = await planning.stack.onboard(export=False)
    await planning.stack.run(tenant_id, key, "forgotten")
    runs = TableRef(tenant_id, "pipeline_runs")
    await execute(planning.warehouse, f"UPDATE `{runs}` SET pipeline_logging_id = '{NEVER}' WHERE TRUE")
    same = await planning.plan(tenant_id, key, "forgotten")
    assert (same.difference.pipeline_logging_id, same.difference.changed) == (NEVER, False)
    assert {change for _, change in changes(same)} == {"UNCHANGED"}, "one file does one thing"
    await planning.edit(tenant_id, key, "forgotten", template("kept"))
    edited = await planning.plan(tenant_id, key, "forgotten")
    assert (edited.difference.pipeline_logging_id, edited.difference.changed) == (NEVER, True)
    assert not edited.difference.steps
