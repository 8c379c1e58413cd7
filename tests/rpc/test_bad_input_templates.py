"""Templates that attack: refused when they are run, listed with file and line, and in nobody else's way."""

import pytest

from convergence.pipeline.v1 import run_pb2, template_pb2
from tests.rpc.bad_templates import BAD
from tests.rpc.system import System

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("name", BAD)
@pytest.mark.usefixtures("leaves_nothing")
async def test_a_template_that_attacks_is_refused_with_file_line_and_reason(system: System, name: str) -> None:
    bad = BAD[name]
    refusal = await system.refusal(
        "RunTemplate", system.acme.key, tenant_id=system.acme.tenant_id, template_name=name, date=""
    )
    assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "TEMPLATE_INVALID")
    assert refusal.metadata["problem"].startswith(f"gcp/test/{name}.yml:{bad.line}: ")
    assert bad.reason in refusal.metadata["problem"]


async def test_templates_that_attack_are_listed_as_invalid_and_stop_no_other(system: System) -> None:
    listed = {entry.template_name: entry for entry in (await system.call("ListTemplates", system.acme.key)).templates}
    for name, bad in BAD.items():
        assert listed[name].state == template_pb2.Template.INVALID, name
        (problem,) = listed[name].problems
        assert problem.startswith(f"gcp/test/{name}.yml:{bad.line}: "), problem
        assert list(listed[name].destination_tables) == []
    tenant_id, key = await system.pipelines.onboard()
    assert (await system.pipelines.run(tenant_id, key)).status == run_pb2.Run.COMPLETE
