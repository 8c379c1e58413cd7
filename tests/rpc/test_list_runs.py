"""ListRuns and GetTemplate over a real connection: filters, order, pages, and each run as it stands, on both warehouses."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from common.warehouse.warehouse import Warehouse
from convergence.pipeline.v1 import pipeline_service_pb2 as pb2
from convergence.pipeline.v1 import run_pb2, template_pb2
from tests.rpc.pipeline_stack import DAY, PipelineStack, pipeline_stack
from tests.rpc.statuses import refused
from tests.rpc.tenant_stack import tenant_stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

NEXT_DAY = "2025-11-16"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(
    shared_warehouse: Warehouse, shared_folder: Path, temporal_address: str
) -> AsyncIterator[PipelineStack]:
    async with (
        tenant_stack(shared_folder, shared_warehouse) as tenants,
        pipeline_stack(shared_folder, shared_warehouse, tenants, temporal_address) as running,
    ):
        yield running


async def listed(stack: PipelineStack, tenant_id: str, key: Any, **fields: Any) -> pb2.ListRunsResponse:
    request = pb2.ListRunsRequest(tenant_id=tenant_id, **fields)
    answer: pb2.ListRunsResponse = await stack.stub.ListRuns(request, metadata=key, timeout=30)
    return answer


async def pages(stack: PipelineStack, tenant_id: str, key: Any, **fields: Any) -> list[run_pb2.Run]:
    """All runs, page by page."""
    runs: list[run_pb2.Run] = []
    token = ""
    while True:
        page = await listed(stack, tenant_id, key, page_token=token, **fields)
        runs += page.runs
        token = page.next_page_token
        if not token:
            return runs


async def test_runs_are_found_by_template_status_and_day_in_either_order(stack: PipelineStack) -> None:
    tenant_id, key = await stack.onboard()
    first = await stack.run(tenant_id, key)
    second = await stack.run(tenant_id, key, date=NEXT_DAY)
    failed = await stack.run(tenant_id, key, "strict")
    without_day = await stack.run(tenant_id, key, "list", date="")
    for fields, expected in (
        ({}, [without_day, failed, second, first]),
        ({"order": pb2.ListRunsRequest.EARLIEST_FIRST}, [first, second, failed, without_day]),
        ({"template_name": "daily"}, [second, first]),
        ({"provider": "gcp", "domain": "test", "template_name": "strict"}, [failed]),
        ({"provider": "aws"}, []),
        ({"status": run_pb2.Run.FAILED}, [failed]),
        ({"status": run_pb2.Run.RUNNING}, []),
        ({"start_date": NEXT_DAY}, [second]),
        ({"end_date": DAY}, [failed, first]),
        ({"start_date": DAY, "end_date": NEXT_DAY, "template_name": "daily"}, [second, first]),
    ):
        for page_size in (0, 1):
            assert await pages(stack, tenant_id, key, page_size=page_size, **fields) == expected, fields


async def test_a_page_token_holds_for_the_same_tenant_filters_and_order_only(stack: PipelineStack) -> None:
    (tenant_id, key), (rival, rivals_key) = [await stack.onboard() for _ in range(2)]
    await stack.run(tenant_id, key)
    await stack.run(tenant_id, key, date=NEXT_DAY)
    token = (await listed(stack, tenant_id, key, page_size=1)).next_page_token
    asked: list[tuple[str, Any, dict[str, Any]]] = [
        (rival, rivals_key, {}),
        (tenant_id, key, {"template_name": "daily"}),
        (tenant_id, key, {"order": pb2.ListRunsRequest.EARLIEST_FIRST}),
        (tenant_id, key, {"page_token": token[:-4]}),
    ]
    for whose, by, fields in asked:
        request = pb2.ListRunsRequest(**{"tenant_id": whose, "page_token": token, **fields})
        refusal = await refused(stack.stub.ListRuns(request, metadata=by, timeout=20))
        assert (refusal.code, refusal.fields) == ("INVALID_ARGUMENT", ("page_token",))


async def test_every_malformed_filter_is_told_of_at_once(stack: PipelineStack) -> None:
    tenant_id, key = await stack.onboard(export=False)
    request = pb2.ListRunsRequest(
        tenant_id=tenant_id,
        provider="G CP",
        domain="'",
        template_name="../x",
        start_date="2025-11-31",
        end_date="yesterday",
        page_size=1001,
    )
    refusal = await refused(stack.stub.ListRuns(request, metadata=key, timeout=20))
    assert refusal.code == "INVALID_ARGUMENT"
    assert set(refusal.fields) == {"provider", "domain", "template_name", "start_date", "end_date", "page_size"}
    unknown = pb2.ListRunsRequest(tenant_id=tenant_id, status=99)  # type: ignore[arg-type]
    assert (await refused(stack.stub.ListRuns(unknown, metadata=key, timeout=20))).fields == ("status",)


async def test_a_tenant_without_runs_and_one_that_does_not_exist_have_none(stack: PipelineStack) -> None:
    tenant_id, _ = await stack.onboard(export=False)
    for whose in (tenant_id, "nobody_at_all"):
        assert await listed(stack, whose, stack.tenants.as_admin) == pb2.ListRunsResponse()


async def test_a_template_is_read_whether_or_not_it_loads(stack: PipelineStack) -> None:
    _, key = await stack.onboard(export=False)

    def get(name: str) -> Any:
        request = pb2.GetTemplateRequest(provider="gcp", domain="test", template_name=name)
        return stack.stub.GetTemplate(request, metadata=key, timeout=10)

    assert (await get("daily")).state == template_pb2.Template.VALID
    broken = await get("broken")
    assert broken.state == template_pb2.Template.INVALID
    assert broken.problems[0].startswith("gcp/test/broken.yml:1")
    missing = await refused(get("dail"))
    assert (missing.code, missing.reason) == ("NOT_FOUND", "TEMPLATE_NOT_FOUND")
    assert "gcp/test/daily" in missing.metadata["nearest"]
