"""PipelineService over a real connection: what it refuses, and how."""

from typing import Any

from convergence.pipeline.v1 import pipeline_service_pb2 as pb2
from convergence.pipeline.v1 import template_pb2
from tests.rpc.pipeline_stack import DAY, PipelineStack
from tests.rpc.statuses import refused


async def test_reading_names_what_is_wrong_with_table_and_days(stack: PipelineStack) -> None:
    tenant_id, key = await stack.onboard()

    async def read(**fields: Any) -> Any:
        request = pb2.ReadTableRequest(**{"tenant_id": tenant_id, "table": "cost", **fields})
        return await refused(stack.stub.ReadTable(request, metadata=key, timeout=10))

    assert ((await read()).code, (await read()).reason) == ("NOT_FOUND", "TABLE_NOT_FOUND")
    assert (await read(start_date="2025-02-30", end_date="x", page_size=-1)).fields == (
        "start_date",
        "end_date",
        "page_size",
    )
    assert (await read(tenant_id="")).fields == ("tenant_id",)
    await stack.run(tenant_id, key, "list", date="")
    assert (await read(table="numbers", start_date=DAY)).fields == ("start_date",)
    assert await stack.rows(tenant_id, key, "numbers") == [{"number": "1"}]


async def test_what_stands_in_a_runs_way_is_named(stack: PipelineStack) -> None:
    tenant_id, key = await stack.onboard(export=False)

    async def run(tenant_id: str, key: Any, **fields: Any) -> Any:
        request = pb2.RunTemplateRequest(**{"tenant_id": tenant_id, **GOOD, **fields})
        return await refused(stack.stub.RunTemplate(request, metadata=key, timeout=10))

    lacking = await run(tenant_id, key)
    assert (lacking.code, lacking.reason, lacking.metadata) == (
        "FAILED_PRECONDITION",
        "SOURCE_NOT_GRANTED",
        {"source": "export"},
    )
    nobody = await run("nobody_at_all", stack.tenants.as_admin)
    assert (nobody.code, nobody.reason) == ("NOT_FOUND", "TENANT_NOT_FOUND")


async def test_templates_are_listed_page_by_page_the_broken_ones_included(stack: PipelineStack) -> None:
    _, key = await stack.onboard()
    listed: list[template_pb2.Template] = []
    token = ""
    while True:
        request = pb2.ListTemplatesRequest(page_size=2, page_token=token)
        page = await stack.stub.ListTemplates(request, metadata=key, timeout=10)
        listed += page.templates
        token = page.next_page_token
        if not token:
            break
    names = [(template.provider, template.domain, template.template_name) for template in listed]
    assert names == sorted(names)
    by_name = {template.template_name: template for template in listed}
    daily = by_name["daily"]
    assert (daily.state, list(daily.destination_tables)) == (template_pb2.Template.VALID, ["cost"])
    assert [(p.name, p.type, p.required, p.default_value) for p in daily.parameters] == [
        ("date", "date", True, ""),
        ("note", "string", False, "none"),
    ]
    assert by_name["broken"].state == template_pb2.Template.INVALID
    assert by_name["broken"].problems[0].startswith("gcp/test/broken.yml:1")


