"""What the engine keeps of a failed step: what is said of it, and nothing of the causes, which may quote rows or hold a token."""

from common.errors import JobAborted, Terminal, WarehouseError
from pipeline_service.run import RunStatus
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.plans import plan, query_step


def _caused(error: WarehouseError, text: str) -> WarehouseError:
    error.__cause__ = RuntimeError(text)
    error.__cause__.__context__ = ValueError(f"{text} once more")
    return error


async def test_the_text_of_a_cause_is_not_in_the_history(lab: Lab) -> None:
    wanted = plan(lab.tenant_id, query_step(lab.tenant_id))
    lab.warehouse.failures = {
        "load_stage_1": _caused(JobAborted("passing"), "the vendor said: passing"),
        "load_stage_2": _caused(Terminal("it does not compile"), "the vendor said: final"),
    }
    async with lab.worker():
        run = await lab.run(wanted)
    assert run.state.status is RunStatus.FAILED
    history = await lab.client.get_workflow_handle(lab.workflow_id(wanted)).fetch_history()
    kept = b"".join(event.SerializeToString() for event in history.events)
    assert b"it does not compile" in kept
    assert b"the vendor said" not in kept
