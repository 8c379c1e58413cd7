"""Starting runs: never twice what is asked for once."""

import asyncio
import uuid
from dataclasses import replace

import pytest

from common.errors import RequestIdReused, Unavailable
from pipeline_service.engine import Started
from pipeline_service.plan import Plan
from pipeline_service.request_record import Requests, request_key, start_id_of
from pipeline_service.run import RunStatus
from pipeline_service.temporal_engine import TemporalEngine
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.plans import plan

DIGEST = "digest of the request"


@pytest.fixture
def key(lab: Lab) -> str:
    return request_key(lab.tenant_id, str(uuid.uuid4()))


async def ask(lab: Lab, key: str, the_plan: Plan, digest: str = DIGEST) -> Started:
    """What RunTemplate does with a request id."""
    answer = await lab.requests.answered(key, digest)
    return answer or await lab.requests.start(key, digest, lab.workflow_id(the_plan), the_plan)


async def test_sixteen_concurrent_starts_make_one_run_and_all_get_its_id(lab: Lab) -> None:
    the_plan = plan(lab.tenant_id)
    async with lab.worker():
        lab.warehouse.held["load_stage_1"].clear()
        started = await asyncio.gather(*(lab.start(the_plan) for _ in range(16)))
        assert len({one.pipeline_logging_id for one in started}) == 1
        assert sum(not one.already_running for one in started) == 1
        lab.warehouse.held["load_stage_1"].set()
        assert (await lab.end_of(started[0])).state.status is RunStatus.COMPLETE
    assert len(lab.warehouse.records("pipeline_runs")) == 1


async def test_a_run_that_has_ended_does_not_keep_the_next_from_starting(lab: Lab) -> None:
    async with lab.worker():
        first = await lab.run(plan(lab.tenant_id))
        second = await lab.start(plan(lab.tenant_id))
        await lab.end_of(second)
    assert second.pipeline_logging_id != first.pipeline_logging_id
    assert not second.already_running


async def test_a_run_with_other_parameters_is_another_run(lab: Lab) -> None:
    one, other = await lab.start(plan(lab.tenant_id)), await lab.start(plan(lab.tenant_id, region="eu"))
    assert one.pipeline_logging_id != other.pipeline_logging_id
    assert not other.already_running


async def test_a_repeat_gets_the_first_answer_after_the_run_ended_and_another_ran_since(lab: Lab, key: str) -> None:
    async with lab.worker():
        first = await ask(lab, key, plan(lab.tenant_id))
        await lab.end_of(first)
        later = await lab.run(plan(lab.tenant_id))
        assert later.pipeline_logging_id != first.pipeline_logging_id
        assert await ask(lab, key, plan(lab.tenant_id)) == first


async def test_concurrent_calls_with_one_request_id_start_one_run(lab: Lab, key: str) -> None:
    async with lab.worker():
        answers = await asyncio.gather(*(ask(lab, key, plan(lab.tenant_id)) for _ in range(8)))
        await lab.end_of(answers[0])
    assert len({answer.pipeline_logging_id for answer in answers}) == 1
    assert len(lab.warehouse.records("pipeline_runs")) == 1


async def test_a_repeat_of_a_call_that_joined_says_so_again(lab: Lab, key: str) -> None:
    running = await lab.start(plan(lab.tenant_id))
    joined = await ask(lab, key, plan(lab.tenant_id))
    assert joined.already_running
    assert joined.pipeline_logging_id == running.pipeline_logging_id
    async with lab.worker():
        await lab.end_of(running)
        assert await ask(lab, key, plan(lab.tenant_id)) == joined


async def test_a_request_id_used_for_another_request_is_refused(lab: Lab, key: str) -> None:
    await ask(lab, key, plan(lab.tenant_id))
    with pytest.raises(RequestIdReused):
        await ask(lab, key, plan(lab.tenant_id, region="eu"), "digest of another request")


async def test_a_crash_before_the_run_was_started_starts_it_once(lab: Lab, key: str) -> None:
    the_plan = plan(lab.tenant_id)
    await lab.open_record(key, DIGEST, the_plan)
    async with lab.worker():
        first = await ask(lab, key, the_plan)
        assert not first.already_running
        await lab.end_of(first)
        assert await ask(lab, key, the_plan) == first
    assert len(lab.warehouse.records("pipeline_runs")) == 1


async def test_a_crash_after_the_run_was_started_leads_back_to_it_even_once_another_ran(lab: Lab, key: str) -> None:
    the_plan = plan(lab.tenant_id)
    await lab.open_record(key, DIGEST, the_plan)
    async with lab.worker():
        first = await lab.run(the_plan)
        await lab.run(the_plan)
        await lab.run(the_plan)
        answer = await ask(lab, key, the_plan)
    assert answer.pipeline_logging_id == first.pipeline_logging_id
    assert not answer.already_running


async def test_a_crash_after_joining_leads_back_to_the_run_that_was_joined(lab: Lab, key: str) -> None:
    the_plan = plan(lab.tenant_id)
    running = await lab.start(the_plan)
    await lab.open_record(key, DIGEST, the_plan)
    async with lab.worker():
        await lab.end_of(running)
        await lab.run(the_plan)
        answer = await ask(lab, key, the_plan)
    assert answer.pipeline_logging_id == running.pipeline_logging_id
    assert answer.already_running


async def test_the_engine_keeps_no_request_id_in_clear(lab: Lab) -> None:
    request_id = str(uuid.uuid4())
    key = request_key(lab.tenant_id, request_id)
    await ask(lab, key, plan(lab.tenant_id))
    history = (await lab.client.get_workflow_handle(key).fetch_history()).to_json()
    history += (await lab.client.get_workflow_handle(lab.workflow_id(plan(lab.tenant_id))).fetch_history()).to_json()
    assert request_id not in history
    assert request_id not in key


async def test_an_engine_that_is_away_gives_unavailable(lab: Lab, key: str, unreachable: TemporalEngine) -> None:
    the_plan = plan(lab.tenant_id)
    workflow_id = lab.workflow_id(the_plan)
    refusals = await asyncio.gather(
        unreachable.start(workflow_id, the_plan),
        unreachable.describe(workflow_id),
        Requests(unreachable, lab.ledger).start(key, DIGEST, workflow_id, the_plan),
        return_exceptions=True,
    )
    assert [type(refusal) for refusal in refusals] == [Unavailable] * 3


async def test_a_first_call_that_stalls_and_its_repeat_get_one_run(lab: Lab, key: str) -> None:
    the_plan = plan(lab.tenant_id)
    workflow_id = lab.workflow_id(the_plan)
    running = await lab.start(the_plan)  # somebody else's, which ends before the first call comes to start or join
    opened = await lab.open_record(key, DIGEST, the_plan)
    async with lab.worker():
        await lab.end_of(running)
        repeat = await ask(lab, key, the_plan)
        first = await lab.engine.start(workflow_id, the_plan, start_id=start_id_of(opened.record_id))
        await lab.end_of(first)
    assert first.pipeline_logging_id == repeat.pipeline_logging_id != running.pipeline_logging_id


async def test_the_engine_gives_the_plan_that_a_run_was_accepted_with(lab: Lab) -> None:
    the_plan = plan(lab.tenant_id)
    execution = await lab.execution((await lab.start(the_plan)).pipeline_logging_id)
    assert await lab.engine.plan_of(execution) == the_plan
    forgotten = replace(execution, engine_run_id=str(uuid.uuid4()))
    assert await lab.engine.plan_of(forgotten) is None
