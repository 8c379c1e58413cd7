"""Whatever a REST caller sends that the OpenAPI document allows, or does not: no answer is an error of ours, and each is as documented.

The calls are Schemathesis's, seeded; half of their values are then replaced by ones that mean something here, so that calls get past
the first check. More with CONVERGENCE_REST_EXAMPLES.
"""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.generation import GenerationMode

from tests.gateway.rest import gateway_before
from tests.rpc.life_calls import BOUNDS, PIPELINE_BOUNDS
from tests.rpc.own_warehouse import own_warehouse
from tests.rpc.pipeline_stack import DAY, PipelineStack, pipeline_stack
from tests.rpc.system import NEVER, NO_KEY
from tests.rpc.tenant_stack import ADMIN, tenant_stack

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.yaml"
EXAMPLES = int(os.environ.get("CONVERGENCE_REST_EXAMPLES", "3"))
"""Calls of each kind, of each method, by each caller."""
SCHEMA = schemathesis.openapi.from_dict(yaml.safe_load(DOCUMENT.read_text()))
_FOUND: list[Any] = list(SCHEMA.get_all_operations())
OPERATIONS = {found.ok().definition.raw["operationId"]: found.ok() for found in _FOUND}
load_all_checks()
NOT_CHECKED = {
    "positive_data_acceptance": "the schema has no patterns: what a tenant's id may be, for example, its description says",
    "unsupported_method": "that a path by another verb is 405 is for tests/gateway/test_errors.py, which knows what `Allow` must list",
}
CHECKED = [CHECKS.get_one(name) for name in CHECKS.get_all_names() if name not in NOT_CHECKED]
ENDING = frozenset({"DeleteTenant", "SuspendTenant", "RevokeKey", "RotateKey"})
"""Methods that would end what the other calls live on: they get no value that means something, but for a tenant that there is not."""


@pytest.fixture
async def stack(temporal_address: str, tmp_path: Path) -> AsyncIterator[PipelineStack]:
    """Both services to themselves: some calls go over all tenants."""
    async with (
        own_warehouse("local", tmp_path) as connect,
        tenant_stack(tmp_path, (warehouse := connect()), **BOUNDS) as tenants,
        pipeline_stack(tmp_path, warehouse, tenants, temporal_address, **PIPELINE_BOUNDS) as stack,
    ):
        yield stack


@pytest.mark.parametrize("caller", ["tenant", "admin"])
async def test_no_call_ends_in_an_error_of_ours_and_every_answer_is_as_documented(
    stack: PipelineStack, tmp_path: Path, caller: str
) -> None:
    tenant_id, as_tenant = await stack.onboard()
    run = await stack.run(tenant_id, as_tenant)
    key = ADMIN.reveal() if caller == "admin" else as_tenant[0][1]
    meaning: dict[str, list[Any]] = {
        "tenant_id": [tenant_id],
        "provider": ["gcp"],
        "domain": ["test"],
        "template_name": ["daily", "strict", "broken", "nothing"],
        "pipeline_id": [f"{tenant_id}-gcp-test-daily"],
        "pipeline_logging_id": [run.pipeline_logging_id, NEVER],
        "table": ["cost", "api_keys"],
        "date": [DAY, "2025-02-30"],
        "start_date": [DAY],
        "end_date": [DAY, "0001-01-01"],
        "key_id": [NO_KEY],
        "scopes": [["runs:read"], ["runs:read", "runs:read"]],
        "name": ["models"],
        "page_size": [0, 1, 1000, 1001],
    }
    folder = tmp_path / "gateway"
    folder.mkdir()
    replicas = {"tenant_service": [stack.tenants.address], "pipeline_service": [stack.address]}
    async with gateway_before(folder, replicas) as rest:
        calling = [_call(name, rest.address, key, meaning) for name in OPERATIONS]
        answers: Counter[int] = Counter()
        for call in calling:
            answers += await asyncio.to_thread(call)
    assert sum(answers.values()) >= len(OPERATIONS) * EXAMPLES, answers
    assert answers[200] > len(OPERATIONS) // 4, answers
    assert not any(status >= 500 for status in answers), answers


def _call(name: str, address: str, key: str, meaning: Mapping[str, list[Any]]) -> Any:
    operation, answers = OPERATIONS[name], Counter[int]()

    @seed(1)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def call(data: st.DataObject) -> None:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            case = data.draw(operation.as_strategy(generation_mode=mode))
            if mode is GenerationMode.POSITIVE:
                known = {"tenant_id": ["nobody_at_all"]} if name in ENDING else meaning
                for values in (case.path_parameters, case.query, case.body):
                    _mean_something(data, values, known)
            response = case.call(base_url=f"http://{address}", headers={"x-api-key": key}, timeout=60)
            answers[response.status_code] += 1
            case.validate_response(response, checks=CHECKED)

    def run() -> Counter[int]:
        call()
        return answers

    return run


def _mean_something(data: st.DataObject, values: Any, known: Mapping[str, list[Any]]) -> None:
    if isinstance(values, dict):
        for field in sorted(values.keys() & known.keys()):
            if data.draw(st.booleans()):
                values[field] = data.draw(st.sampled_from(known[field]))
