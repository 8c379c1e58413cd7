"""GetRun: from the engine, from the records, and nothing of anybody else's."""

import uuid

import pytest

from common.errors import InvalidInput, RunNotFound, TenantMismatch, Transient
from common.rpc.caller import Caller
from pipeline_service.engine import Execution
from pipeline_service.get_run import GetRun
from pipeline_service.run import Run, RunStatus
from pipeline_service.temporal_engine import TemporalEngine
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.plans import check, plan, query_step
from tests.waiting import until

ADMIN = Caller("admin", None)


class ForgetfulEngine(TemporalEngine):
    """An engine after its retention: the dev server takes half a minute to delete a run."""

    async def describe(self, workflow_id: str) -> Execution | None:
        return None


async def get(
    lab: Lab,
    pipeline_logging_id: str,
    *,
    caller: Caller | None = None,
    tenant_id: str = "",
    engine: TemporalEngine | None = None,
) -> Run:
    get_run = GetRun(engine or lab.engine, lab.records)
    caller = caller or Caller("key", lab.tenant_id)
    return await get_run(caller, pipeline_logging_id=pipeline_logging_id, tenant_id=tenant_id)


async def test_a_run_is_read_while_every_worker_is_away(lab: Lab) -> None:
    started = await lab.start(plan(lab.tenant_id))
    lab.warehouse.away = True
    run = await get(lab, started.pipeline_logging_id)
    assert run.state.status is RunStatus.PENDING
    assert run.header.parameters == {"date": "2025-11-15"}


async def test_a_run_that_the_engine_forgot_is_read_from_its_record_as_it_was(lab: Lab) -> None:
    the_plan = plan(lab.tenant_id, query_step(lab.tenant_id, checks=(check("ok"), check("bad", "warn"))))
    async with lab.worker():
        before = await lab.run(the_plan)
    after = await get(lab, before.pipeline_logging_id, engine=ForgetfulEngine(lab.client, task_queue=lab.task_queue))
    assert (after.header, after.create_time, after.state.steps) == (
        before.header,
        before.create_time,
        before.state.steps,
    )
    assert (after.state.status, after.state.end_time) == (RunStatus.COMPLETE, before.state.end_time)


async def test_a_failed_run_of_the_records_still_says_why(lab: Lab) -> None:
    the_plan = plan(lab.tenant_id, query_step(lab.tenant_id, checks=(check("bad"),)))
    async with lab.worker():
        before = await lab.run(the_plan)
    after = await get(lab, before.pipeline_logging_id, engine=ForgetfulEngine(lab.client, task_queue=lab.task_queue))
    assert after.state.error == before.state.error


async def test_an_earlier_run_of_the_same_workflow_is_read_from_its_record(lab: Lab) -> None:
    async with lab.worker():
        first, second = await lab.run(plan(lab.tenant_id)), await lab.run(plan(lab.tenant_id))
    assert (await get(lab, first.pipeline_logging_id)).pipeline_logging_id == first.pipeline_logging_id
    assert await get(lab, second.pipeline_logging_id) == second


async def test_a_run_that_was_ended_by_hand_and_superseded_is_cancelled(lab: Lab) -> None:
    the_plan = plan(lab.tenant_id)
    lab.warehouse.held["load_stage_1"].clear()
    async with lab.worker():
        first = await lab.start(the_plan)
        await lab.warehouse.began["load_stage_1"].wait()
        await until(lambda: lab.warehouse.records("pipeline_runs"), seconds=30)
        await lab.client.get_workflow_handle(lab.workflow_id(the_plan)).terminate()
        lab.warehouse.held["load_stage_1"].set()
        await lab.run(the_plan)
    assert (await get(lab, first.pipeline_logging_id)).state.status is RunStatus.CANCELLED


async def test_another_tenants_run_is_refused_like_one_that_never_was(lab: Lab) -> None:
    started = await lab.start(plan(lab.tenant_id))
    stranger = Caller("key", "stranger")
    refusals = []
    for pipeline_logging_id in (started.pipeline_logging_id, str(uuid.UUID(int=8 << 76 | 2 << 62)), str(uuid.uuid4())):
        with pytest.raises(RunNotFound) as refused:
            await get(lab, pipeline_logging_id, caller=stranger)
        refusals.append((refused.value.reason, refused.value.message, refused.value.metadata))
    assert refusals[0] == refusals[1] == refusals[2]
    with pytest.raises(TenantMismatch):
        await get(lab, started.pipeline_logging_id, caller=stranger, tenant_id=lab.tenant_id)


async def test_an_admin_names_the_tenant(lab: Lab) -> None:
    started = await lab.start(plan(lab.tenant_id))
    run = await get(lab, started.pipeline_logging_id, caller=ADMIN, tenant_id=lab.tenant_id)
    assert run.pipeline_logging_id == started.pipeline_logging_id
    with pytest.raises(InvalidInput) as refused:
        await get(lab, "no-uuid", caller=ADMIN)
    assert [violation.field for violation in refused.value.violations] == ["pipeline_logging_id", "tenant_id"]


async def test_a_warehouse_that_is_away_is_told_from_a_run_that_is_not_there(lab: Lab) -> None:
    lab.warehouse.away = True
    with pytest.raises(Transient):
        await get(lab, str(uuid.UUID(int=8 << 76 | 2 << 62)))
