"""docs/access.md says who may call what: every method of both services, called as every caller, does as its row says."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration

from tests.rpc.statuses import outcome_of
from tests.rpc.system import ADMIN_METHODS, METHODS, System
from tests.rpc.tenant_stack import as_key

pytestmark = pytest.mark.asyncio(loop_scope="session")

DOCUMENT = Path(__file__).parents[2] / "docs" / "access.md"
NOBODY = "nobody_at_all"
PAST_THE_GATE = frozenset({"OK", "NOT_FOUND", "ALREADY_EXISTS"})
"""How a call ends that was allowed: HARMLESS asks for nothing, or for what does not exist."""
HARMLESS: Mapping[str, Mapping[str, Any]] = {
    "CreateKey": {"scopes": ["keys:admin"]},
    "DeleteCredential": {"name": "never_put"},
    "RunTemplate": {"template_name": "nothing"},
    "BackfillTemplate": {"template_name": "nothing"},
    "PlanTemplate": {"template_name": "nothing"},
}
"""Fields that go before GOOD, so that a call that is allowed changes nothing that another test looks at."""


def table(first_header: str, document: Path = DOCUMENT) -> list[dict[str, str]]:
    """The rows of the document's table that begins with this header."""
    lines = [[cell.strip() for cell in line.strip("| \n").split("|")] for line in document.read_text().splitlines()]
    start = next(number for number, cells in enumerate(lines) if cells[0] == first_header)
    rows = []
    for cells in lines[start + 2 :]:
        if len(cells) != len(lines[start]):
            break
        rows.append(dict(zip(lines[start], cells, strict=True)))
    return rows


ROWS = {row["method"]: row for row in table("method")}
STATUS_OF = {row["reason"]: row["status"] for row in table("reason")}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def tenant_id(system: System) -> str:
    """A tenant of these tests alone."""
    return (await system.pipelines.onboard(export=False))[0]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def callers(system: System, tenant_id: str) -> Mapping[str, Any]:
    """Metadata of every caller, by the table's header."""

    async def key(*scopes: str) -> Any:
        return await system.call("CreateKey", system.admin, tenant_id=tenant_id, scopes=scopes)

    scopes = ("runs:read", "runs:write", "keys:admin", "credentials:admin")
    single = {scope: as_key((await key(scope)).api_key) for scope in scopes}
    old = await key(*scopes)
    rotate = {"tenant_id": tenant_id, "key_id": old.key.key_id, "grace_period": Duration(seconds=3600)}
    await system.call("RotateKey", system.admin, **rotate)
    return {
        "no key": (),
        **single,
        "another tenant's": system.rival.key,
        "superseded": as_key(old.api_key),
        "admin": system.admin,
    }


async def test_every_method_has_a_row_and_every_row_a_method() -> None:
    assert ROWS.keys() == METHODS.keys()
    assert len(table("method")) == len(METHODS), "and only one"


@pytest.mark.parametrize("method", METHODS)
async def test_a_method_answers_every_caller_as_its_row_says(
    system: System, callers: Mapping[str, Any], tenant_id: str, method: str
) -> None:
    row = ROWS[method]
    assert row.keys() - {"method"} == callers.keys()
    for caller, metadata in callers.items():
        outcome = await outcome_of(system.call(method, metadata, **fields_for(method, tenant_id)))
        if row[caller] == "allowed":
            assert outcome[0] in PAST_THE_GATE, f"{caller}: {outcome}"
        else:
            assert outcome == (STATUS_OF[row[caller]], row[caller]), caller


def fields_for(method: str, tenant_id: str) -> dict[str, Any]:
    """What is asked for. An admin's method is asked for nobody, and Onboard for a tenant that exists."""
    fields = dict(HARMLESS.get(method, {}))
    if method == "RunPipeline":
        return {"pipeline_id": f"{tenant_id}-gcp-test-nothing"}
    if "tenant_id" in METHODS[method].input_type.fields_by_name:
        fields["tenant_id"] = NOBODY if method in ADMIN_METHODS - {"Onboard"} else tenant_id
    return fields
