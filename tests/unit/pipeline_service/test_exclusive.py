"""Runs of an exclusive template: one at a time for a tenant, whatever becomes of calls, records and later runs."""

import asyncio
import uuid

import pytest

from common.clock import SystemClock
from common.errors import PipelineBusy, RunNotRetryable
from common.rpc.caller import Caller
from pipeline_service.budgets import BudgetLimits, Budgets
from pipeline_service.engine import Started
from pipeline_service.get_run import GetRun
from pipeline_service.plan import Plan
from pipeline_service.request_record import request_key
from pipeline_service.retry_run import RetryRun
from pipeline_service.run import RunStatus
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.fake_warehouse import FakeWarehouse
from tests.unit.pipeline_service.plans import check, plan, query_step

DIGEST = "digest of the request"
PATIENCE_SECONDS = 30.0


@pytest.fixture
def key(lab: Lab) -> str:
    return request_key(lab.tenant_id, str(uuid.uuid4()))


def exclusive(lab: Lab, day: str) -> Plan:
    """An exclusive template's plan for a day, which fails where `measure sound` says so."""
    step = query_step(lab.tenant_id, checks=(check("sound"),))
    return plan(lab.tenant_id, step, exclusive=True, date=day)


def sound(warehouse: FakeWarehouse, *, passed: bool) -> None:
    warehouse.measures["measure sound"] = lambda _: {
        "passed": passed,
        "failing_rows": 0,
        "observed": None,
        "expected": None,
    }


@pytest.fixture(autouse=True)
def _passing(lab: Lab) -> None:
    sound(lab.warehouse, passed=True)


async def ask(lab: Lab, key: str, the_plan: Plan) -> Started:
    """What RunTemplate does with a request id."""
    answer = await lab.requests.answered(key, DIGEST)
    return answer or await lab.requests.start(key, DIGEST, the_plan.workflow_id, the_plan)


async def busy_with(started: Started, lab: Lab, the_plan: Plan, key: str | None = None) -> None:
    with pytest.raises(PipelineBusy) as refused:
        await (lab.start(the_plan) if key is None else ask(lab, key, the_plan))
    assert refused.value.metadata == {"pipeline_logging_id": started.pipeline_logging_id}
    assert started.pipeline_logging_id in refused.value.message


async def test_other_parameters_are_refused_while_a_run_is_active_and_the_same_ones_join_it(lab: Lab) -> None:
    running = await lab.start(exclusive(lab, "2025-11-15"))
    await busy_with(running, lab, exclusive(lab, "2025-11-16"))
    joined = await lab.start(exclusive(lab, "2025-11-15"))
    assert (joined.pipeline_logging_id, joined.already_running) == (running.pipeline_logging_id, True)
    async with lab.worker():
        await lab.end_of(running)
        later = await lab.run(exclusive(lab, "2025-11-16"))
    assert later.state.status is RunStatus.COMPLETE
    assert later.pipeline_logging_id != running.pipeline_logging_id


async def test_sixty_four_callers_with_two_days_get_one_run(lab: Lab) -> None:
    days = ("2025-11-15", "2025-11-16")
    plans = [exclusive(lab, days[number % 2]) for number in range(64)]
    answers = await asyncio.gather(*map(lab.start, plans), return_exceptions=True)
    started = [answer for answer in answers if isinstance(answer, Started)]
    busy = [answer for answer in answers if isinstance(answer, PipelineBusy)]
    (run_id,) = {answer.pipeline_logging_id for answer in started}
    assert (len(started), len(busy)) == (32, 32)
    assert sum(not answer.already_running for answer in started) == 1
    assert {refusal.metadata["pipeline_logging_id"] for refusal in busy} == {run_id}


async def test_a_call_that_was_refused_is_no_answer_and_starts_its_run_once_the_other_has_ended(
    lab: Lab, key: str
) -> None:
    running = await lab.start(exclusive(lab, "2025-11-15"))
    for _ in range(3):
        await busy_with(running, lab, exclusive(lab, "2025-11-16"), key)
    async with lab.worker():
        await lab.end_of(running)
        answers = await asyncio.gather(*(ask(lab, key, exclusive(lab, "2025-11-16")) for _ in range(8)))
        (run_id,) = {answer.pipeline_logging_id for answer in answers}
        assert run_id != running.pipeline_logging_id
        await lab.end_of(answers[0])
        await lab.run(exclusive(lab, "2025-11-17"))
        assert (await ask(lab, key, exclusive(lab, "2025-11-16"))).pipeline_logging_id == run_id
    assert len(lab.warehouse.records("pipeline_runs")) == 3


async def test_a_call_that_is_refused_by_one_run_after_the_other_starts_its_run_once(lab: Lab, key: str) -> None:
    async with lab.worker():
        for day in ("2025-11-15", "2025-11-17", "2025-11-18"):
            lab.warehouse.held["load_stage_1"].clear()
            running = await lab.start(exclusive(lab, day))
            await busy_with(running, lab, exclusive(lab, "2025-11-16"), key)
            lab.warehouse.held["load_stage_1"].set()
            await lab.end_of(running)
        own = await ask(lab, key, exclusive(lab, "2025-11-16"))
        assert not own.already_running
        await lab.end_of(own)
        assert await ask(lab, key, exclusive(lab, "2025-11-16")) == own
    assert len(lab.warehouse.records("pipeline_runs")) == 4


async def test_a_record_that_was_not_bound_is_not_answered_with_a_run_of_another_day(lab: Lab, key: str) -> None:
    wanted, other = exclusive(lab, "2025-11-15"), exclusive(lab, "2025-11-16")
    running = await lab.start(other)
    await lab.open_record(key, DIGEST, wanted)
    assert await lab.requests.answered(key, DIGEST) is None
    async with lab.worker():
        await lab.end_of(running)
        await lab.run(exclusive(lab, "2025-11-17"))
        assert await lab.requests.answered(key, DIGEST) is None
        first = await lab.run(wanted)  # of the call that opened the record and came no further
        await lab.run(other)
        recovered = await ask(lab, key, wanted)
    assert recovered.pipeline_logging_id == first.pipeline_logging_id


async def test_every_run_is_found_in_the_engine_whatever_ran_after_it(lab: Lab) -> None:
    get_run = GetRun(lab.engine, lab.records)
    async with lab.worker():
        runs = [await lab.run(exclusive(lab, f"2025-11-{day}")) for day in (15, 16, 15)]
    async with asyncio.timeout(PATIENCE_SECONDS):
        for run in runs:
            located = None
            while located is None or located.execution is None:  # the engine lists a run a moment after its end
                located = await get_run.locate(
                    Caller("key", lab.tenant_id), pipeline_logging_id=run.pipeline_logging_id, tenant_id=""
                )
            assert located.run == run


async def test_a_failed_day_is_retried_although_later_days_ran_and_only_its_latest_run(lab: Lab) -> None:
    get_run = GetRun(lab.engine, lab.records)
    budgets = Budgets(BudgetLimits(), lab.gates, lab.engine, SystemClock())
    retry_run = RetryRun(
        get_run=get_run, tenants=lab.tenants, engine=lab.engine, budgets=budgets, requests=lab.requests
    )

    async def retry(run_id: str) -> Started:
        caller = Caller("key", lab.tenant_id)
        return await retry_run(caller, pipeline_logging_id=run_id, tenant_id="", trigger_by="", request_id="")

    async with lab.worker():
        sound(lab.warehouse, passed=False)
        first = await lab.run(exclusive(lab, "2025-11-15"))
        second = await lab.run(exclusive(lab, "2025-11-15"))
        sound(lab.warehouse, passed=True)
        lab.warehouse.held["load_stage_1"].clear()
        later = await lab.start(exclusive(lab, "2025-11-16"))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await lab.engine.latest_of(first_workflow(lab), exclusive(lab, "2025-11-15").header.work_id) is None:
                pass
        with pytest.raises(PipelineBusy) as refused:
            await retry(second.pipeline_logging_id)
        assert refused.value.metadata == {"pipeline_logging_id": later.pipeline_logging_id}
        lab.warehouse.held["load_stage_1"].set()
        await lab.end_of(later)
        with pytest.raises(RunNotRetryable, match="a later one of its parameters"):
            await retry(first.pipeline_logging_id)
        retried = await lab.end_of(await retry(second.pipeline_logging_id))
    assert (retried.state.status, retried.header.retry_of) == (RunStatus.COMPLETE, second.pipeline_logging_id)
    assert retried.header.parameters["date"] == "2025-11-15"


def first_workflow(lab: Lab) -> str:
    return exclusive(lab, "2025-11-15").workflow_id


async def test_a_run_that_was_accepted_before_its_template_became_exclusive_is_waited_for(lab: Lab) -> None:
    before, after = plan(lab.tenant_id, date="2025-11-15"), exclusive(lab, "2025-11-16")
    async with lab.worker():
        lab.warehouse.held["load_stage_1"].clear()
        earlier = await lab.start(before)
        await lab.warehouse.began["load_stage_1"].wait()
        waiting = await lab.start(after)
        assert not waiting.already_running
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (await lab.engine.queue(lab.tenant_id)).length:  # noqa: ASYNC110 - the engine says when it says
                await asyncio.sleep(0.02)
        await busy_with(waiting, lab, exclusive(lab, "2025-11-17"))
        lab.warehouse.held["load_stage_1"].set()
        first, second = await lab.end_of(earlier), await lab.end_of(waiting)
    assert first.state.end_time is not None
    assert second.state.start_time is not None
    assert first.state.end_time <= second.state.start_time


async def test_a_run_that_was_ended_by_hand_keeps_nobody_out(lab: Lab) -> None:
    running = await lab.start(exclusive(lab, "2025-11-15"))
    await lab.client.get_workflow_handle(first_workflow(lab)).terminate()
    async with lab.worker():
        other = await lab.run(exclusive(lab, "2025-11-16"))
    assert other.state.status is RunStatus.COMPLETE
    assert other.pipeline_logging_id != running.pipeline_logging_id


async def test_cancelling_a_run_of_an_exclusive_template_lets_the_next_in(lab: Lab) -> None:
    lab.warehouse.held["load_stage_1"].clear()
    async with lab.worker():
        running = await lab.start(exclusive(lab, "2025-11-15"))
        await lab.warehouse.began["load_stage_1"].wait()
        execution = await lab.execution(running.pipeline_logging_id)
        await lab.engine.cancel(execution.active_run)
        assert (await lab.end_of(running)).state.status is RunStatus.CANCELLED
        lab.warehouse.held["load_stage_1"].set()
        assert (await lab.run(exclusive(lab, "2025-11-16"))).state.status is RunStatus.COMPLETE
