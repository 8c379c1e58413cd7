"""What PipelineService refuses although the request is well-formed, and the list that tells what may be asked."""

from typing import Any

import pytest

from convergence.pipeline.v1 import template_pb2
from tests.rpc.pipeline_stack import DAY
from tests.rpc.system import System

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_table_that_no_run_has_published_is_not_found(system: System) -> None:
    refusal = await system.refusal("ReadTable", system.acme.key, tenant_id=system.acme.tenant_id)
    assert (refusal.code, refusal.reason) == ("NOT_FOUND", "TABLE_NOT_FOUND")


async def test_days_of_a_table_without_days_are_refused(system: System) -> None:
    tenant_id, key = await system.pipelines.onboard(export=False)
    await system.pipelines.run(tenant_id, key, "list", date="")
    days = {"start_date": DAY, "end_date": DAY}
    refusal = await system.refusal("ReadTable", key, tenant_id=tenant_id, table="numbers", **days)
    assert (refusal.code, refusal.fields) == ("INVALID_ARGUMENT", ("start_date", "end_date"))
    assert await system.pipelines.rows(tenant_id, key, "numbers") == [{"number": "1"}]


async def test_a_source_that_was_not_granted_is_named(system: System) -> None:
    tenant_id, key = await system.pipelines.onboard(export=False)
    refusal = await system.refusal("RunTemplate", key, tenant_id=tenant_id)
    assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "SOURCE_NOT_GRANTED")
    assert refusal.metadata == {"source": "export"}


async def test_a_tenant_that_does_not_exist_is_not_found_for_an_admin(system: System) -> None:
    refusal = await system.refusal("RunTemplate", system.admin, tenant_id="nobody_at_all")
    assert (refusal.code, refusal.reason) == ("NOT_FOUND", "TENANT_NOT_FOUND")


async def test_templates_are_listed_page_by_page_the_broken_ones_included(system: System) -> None:
    listed: list[template_pb2.Template] = []
    token = ""
    while not listed or token:
        page = await system.call("ListTemplates", system.acme.key, page_size=2, page_token=token)
        listed += page.templates
        token = page.next_page_token
    names = [(template.provider, template.domain, template.template_name) for template in listed]
    assert names == sorted(set(names))
    by_name = {template.template_name: template for template in listed}
    daily = by_name["daily"]
    assert (daily.state, list(daily.destination_tables)) == (template_pb2.Template.VALID, ["cost"])
    assert [(p.name, p.type, p.required, p.default_value) for p in daily.parameters] == [
        ("date", "date", True, ""),
        ("note", "string", False, "none"),
    ]
    parameter = template_pb2.TemplateParameter
    assert list(by_name["typed"].parameters) == [
        parameter(name="at", type="datetime", default_value="{yesterday}T06:00", max="{today}"),
        parameter(name="filter", type="json", required=True, description="What to look for"),
        parameter(name="kind", type="enum", default_value="full", values=["full", "delta"]),
        parameter(name="region", type="string", pattern="[a-z]{2}", max_length=2),
        parameter(name="share", type="number", min="0", max="1"),
    ]
    assert by_name["broken"].state == template_pb2.Template.INVALID


@pytest.mark.parametrize(
    "fields",
    [
        {"template_name": "dayly"},
        {"template_name": "broken"},
        {"template_name": "any_table", "date": "", "parameters": {"input": "nobody_at_all.cost"}},
        {"template_name": "typed", "date": DAY, "parameters": {"kind": "none", "share": "2", "region": "x"}},
        {"tenant_id": "nobody_at_all"},
        {"date": ""},
    ],
)
async def test_a_plan_is_refused_just_as_its_run_is(system: System, fields: dict[str, Any]) -> None:
    tenant_id, _ = await system.pipelines.onboard(export=False)
    asked = {"tenant_id": tenant_id, **fields}
    run, plan = await system.refusals(*((method, system.admin, asked) for method in ("RunTemplate", "PlanTemplate")))
    assert run.wire == plan.wire


async def test_a_plan_without_its_source_is_refused_just_as_its_run_is(system: System) -> None:
    tenant_id, key = await system.pipelines.onboard(export=False)
    run, plan = await system.refusals(
        *((method, key, {"tenant_id": tenant_id}) for method in ("RunTemplate", "PlanTemplate"))
    )
    assert run.wire == plan.wire
    assert plan.reason == "SOURCE_NOT_GRANTED"
