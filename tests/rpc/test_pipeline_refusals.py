"""PipelineService over a real connection: what it refuses, and how."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from common.secret import Secret
from common.tenants.tenant import STATE
from common.warehouse.local import LocalWarehouse
from common.warehouse.warehouse import TableRef
from convergence.pipeline.v1 import pipeline_service_pb2 as pb2
from convergence.pipeline.v1 import template_pb2
from tests.rpc.pipeline_stack import DAY, PipelineStack, pipeline_stack
from tests.rpc.statuses import refused
from tests.rpc.tenant_stack import tenant_stack
from tests.temporal import temporal_address  # noqa: F401 - a fixture

GOOD: dict[str, Any] = {"provider": "gcp", "domain": "test", "template_name": "daily", "date": DAY}
MALFORMED: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    *(
        ({"tenant_id": tenant_id}, ("tenant_id",))
        for tenant_id in ("", "AB", "a-b", "../x", "a'; DROP TABLE x", "a" * 51, "ténant", "billing_export_acmeinc")
    ),
    ({"template_name": "../../etc/passwd"}, ("template_name",)),
    ({"provider": "GCP", "domain": ""}, ("provider", "domain")),
    ({"date": "2025-02-30"}, ("date",)),
    ({"date": "20251115"}, ("date",)),
    ({"parameters": {"date": DAY}}, ("parameters.date",)),
    ({"parameters": {"unknown": "1", "other": "2"}}, ("parameters.other", "parameters.unknown")),
    ({"parameters": {"no name": "1"}}, ("parameters.no name",)),
    ({"parameters": {"note": "x" * 10_001}}, ("parameters.note",)),
    ({"parameters": {f"p{number}": "" for number in range(101)}}, ("parameters",)),
    ({"date": ""}, ("date",)),
    ({"trigger_by": "x" * 201}, ("trigger_by",)),
    ({"trigger_by": "a\nb"}, ("trigger_by",)),
    ({"request_id": "1"}, ("request_id",)),
    (
        {"tenant_id": "AB", "provider": "-", "date": "x", "trigger_by": "\t", "request_id": "y"},
        ("tenant_id", "provider", "date", "trigger_by", "request_id"),
    ),
]


@pytest.fixture
async def stack(
    local_server: tuple[str, Path],
    tmp_path: Path,
    temporal_address: str,  # noqa: F811
) -> AsyncIterator[PipelineStack]:
    address, token_file = local_server
    warehouse = LocalWarehouse(address, token=Secret(token_file.read_text()))
    async with (
        tenant_stack(tmp_path, warehouse) as tenants,
        pipeline_stack(tmp_path, warehouse, tenants, temporal_address) as running,
    ):
        yield running
    await warehouse.close()


async def test_every_malformed_field_is_named_at_once(stack: PipelineStack) -> None:
    tenant_id, key = await stack.onboard()
    for fields, expected in MALFORMED:
        request = pb2.RunTemplateRequest(**{"tenant_id": tenant_id, **GOOD, **fields})
        refusal = await refused(stack.stub.RunTemplate(request, metadata=key, timeout=10))
        assert (refusal.code, refusal.reason, refusal.fields) == ("INVALID_ARGUMENT", "FIELD_INVALID", expected), fields
    assert await stack.warehouse.list_rows(TableRef(tenant_id, "pipeline_runs")) == []


async def test_a_malformed_pipeline_id_is_refused(stack: PipelineStack) -> None:
    tenant_id, key = await stack.onboard()
    for pipeline_id in ("", "acme", "acme-gcp-cost", f"{tenant_id}-GCP-test-daily", f"{tenant_id}-gcp-test-"):
        request = pb2.RunPipelineRequest(pipeline_id=pipeline_id, date="x")
        refusal = await refused(stack.stub.RunPipeline(request, metadata=key, timeout=10))
        assert (refusal.code, refusal.fields) == ("INVALID_ARGUMENT", ("pipeline_id", "date")), pipeline_id


async def test_another_tenant_is_refused_alike_whether_it_exists_or_not(stack: PipelineStack) -> None:
    (_, key), (other, _) = await stack.onboard(), await stack.onboard()
    answers = []
    for tenant_id in (other, "nobody_at_all"):
        run = pb2.RunTemplateRequest(tenant_id=tenant_id, **GOOD)
        read = pb2.ReadTableRequest(tenant_id=tenant_id, table="cost")
        get = pb2.GetRunRequest(tenant_id=tenant_id, pipeline_logging_id=str(uuid.uuid4()))
        answers.append(
            [
                await refused(stack.stub.RunTemplate(run, metadata=key, timeout=10)),
                await refused(stack.stub.ReadTable(read, metadata=key, timeout=10)),
                await refused(stack.stub.GetRun(get, metadata=key, timeout=10)),
            ]
        )
    assert answers[0] == answers[1]
    assert {(refusal.code, refusal.reason) for refusal in answers[0]} == {("PERMISSION_DENIED", "TENANT_MISMATCH")}


async def test_another_tenants_run_gives_the_same_bytes_as_one_that_never_was(stack: PipelineStack) -> None:
    tenant_id, key = await stack.onboard()
    _, stranger = await stack.onboard()
    run = await stack.run(tenant_id, key)
    never = f"{run.pipeline_logging_id[:-1]}{'0' if run.pipeline_logging_id[-1] != '0' else '1'}"
    for method, request_type in ((stack.stub.GetRun, pb2.GetRunRequest), (stack.stub.WatchRun, pb2.WatchRunRequest)):
        refusals = [
            await refused(method(request_type(pipeline_logging_id=wanted), metadata=stranger, timeout=10))
            for wanted in (run.pipeline_logging_id, never, str(uuid.uuid4()))
        ]
        assert {(refusal.code, refusal.reason) for refusal in refusals} == {("NOT_FOUND", "RUN_NOT_FOUND")}
        assert len({refusal.wire for refusal in refusals}) == 1


async def test_tables_that_no_template_publishes_are_refused_alike(stack: PipelineStack) -> None:
    tenant_id, key = await stack.onboard()
    await stack.run(tenant_id, key)
    names = ["", "api_keys", "pipeline_runs", "_stage_x_load", f"{tenant_id}.cost", "`cost`", "cost*", "cost$20251115"]
    names += ["COST", "cost;", "other.cost", "INFORMATION_SCHEMA.TABLES", "rows", "nothing"]
    refusals = [
        await refused(
            stack.stub.ReadTable(pb2.ReadTableRequest(tenant_id=tenant_id, table=name), metadata=key, timeout=10)
        )
        for name in names
    ]
    assert {(refusal.code, refusal.reason, refusal.fields) for refusal in refusals} == {
        ("INVALID_ARGUMENT", "TABLE_NOT_ALLOWED", ("table",))
    }
    assert len({refusal.wire for refusal in refusals}) == 1


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

    unknown = await run(tenant_id, key, template_name="dayly")
    assert (unknown.code, unknown.reason) == ("NOT_FOUND", "TEMPLATE_NOT_FOUND")
    assert "gcp/test/daily" in unknown.metadata["nearest"]
    broken = await run(tenant_id, key, template_name="broken")
    assert (broken.code, broken.reason) == ("FAILED_PRECONDITION", "TEMPLATE_INVALID")
    assert broken.metadata["problem"].startswith("gcp/test/broken.yml:1")
    lacking = await run(tenant_id, key)
    assert (lacking.code, lacking.reason, lacking.metadata) == (
        "FAILED_PRECONDITION",
        "SOURCE_NOT_GRANTED",
        {"source": "export"},
    )
    nobody = await run("nobody_at_all", stack.tenants.as_admin)
    assert (nobody.code, nobody.reason) == ("NOT_FOUND", "TENANT_NOT_FOUND")
    for state, reason in (("suspended", "TENANT_SUSPENDED"), ("creating", "TENANT_NOT_READY")):
        other, _ = await stack.onboard()
        await stack.warehouse.set_labels(await stack.warehouse.get_dataset(other), {STATE: state})
        refusal = await run(other, stack.tenants.as_admin)
        assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", reason)


async def test_a_run_id_must_be_a_uuid_and_an_admin_names_the_tenant(stack: PipelineStack) -> None:
    request = pb2.GetRunRequest(pipeline_logging_id="x")
    refusal = await refused(stack.stub.GetRun(request, metadata=stack.tenants.as_admin, timeout=10))
    assert (refusal.code, refusal.fields) == ("INVALID_ARGUMENT", ("pipeline_logging_id", "tenant_id"))


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


async def test_a_bad_page_is_refused(stack: PipelineStack) -> None:
    _, key = await stack.onboard()
    for token in ("x", "e30=", "WzFd", "é"):
        request = pb2.ListTemplatesRequest(page_size=1001, page_token=token)
        refusal = await refused(stack.stub.ListTemplates(request, metadata=key, timeout=10))
        assert (refusal.code, refusal.fields) == ("INVALID_ARGUMENT", ("page_size", "page_token")), token
