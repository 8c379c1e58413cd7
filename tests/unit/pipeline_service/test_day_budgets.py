"""Runs within the budget that their tenant has for a day: nothing passes it, and what was billed is never forgotten."""

import asyncio
import uuid
from collections import Counter
from datetime import UTC, datetime

import pytest

from common.errors import BudgetExceeded, JobAborted, Terminal
from common.warehouse.estimate import MINIMUM_BILLED_BYTES as LEAST
from common.warehouse.estimate import Estimate
from pipeline_service.budget_messages import DayUse
from pipeline_service.budgets import BudgetLimits, Budgets
from pipeline_service.gate_messages import GateSignal, GateState, Limits, SlotRequest
from pipeline_service.run import RunStatus, StepStatus
from pipeline_service.steps.attempt import STAGE, job_id
from pipeline_service.temporal_connection import connect
from pipeline_service.temporal_names import LEAVE_SIGNAL, gate_id
from tests.clock import FakeClock
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.spending import PATIENCE_SECONDS, SIZE, per_day, reasons


async def test_attempts_share_a_reservation_and_a_job_that_both_see_counts_once(lab: Lab) -> None:
    spending = per_day(lab, SIZE + LEAST)
    lab.warehouse.failures["a_stage_1"] = JobAborted("aborted")
    lab.warehouse.failures["a_publish_1"] = JobAborted("aborted")
    wanted = spending.plan("a")
    lab.warehouse.bills["a_stage_2"] = SIZE
    async with lab.worker():
        run = await spending.end_of(await lab.start(wanted))
        assert (run.state.status, run.state.steps[0].attempts) == (RunStatus.COMPLETE, 2)
        await spending.used_is(SIZE)


async def test_a_step_that_fails_for_good_gives_back_what_it_has_not_billed(lab: Lab) -> None:
    spending = per_day(lab, SIZE)
    lab.warehouse.failures["a_stage_1"] = Terminal("wrong")
    async with lab.worker():
        run = await spending.run("a")
        assert reasons(run) == {"STATEMENT_FAILED": 1}
        run = await spending.run("b")
        assert reasons(run) == {"COMPLETE": 1}
        await spending.used_is(SIZE)


async def test_many_runs_at_once_never_pass_the_day_of_their_tenant(lab: Lab, temporal_address: str) -> None:
    limit = 3 * SIZE + 1
    spending = per_day(lab, limit)
    another = await connect(temporal_address, namespace="default")
    async with lab.worker(), lab.worker(another):
        started = [await spending.start(f"r{number}") for number in range(8)]
        ended = [await spending.end_of(one) for one in started]
        await spending.used_is(3 * SIZE)
    assert sum((reasons(run) for run in ended), Counter()) == {"COMPLETE": 3, "BUDGET_EXCEEDED": 5}
    refused = next(run for run in ended if run.state.error is not None)
    expected = f"The step may bill {SIZE} bytes more; 1 are left of the {limit} that the tenant may bill on a day"
    assert refused.state.error is not None
    assert refused.state.error.message == expected
    assert lab.warehouse.most_billing <= limit


async def test_what_a_day_has_used_outlives_its_gate_however_that_ended(lab: Lab) -> None:
    spending = per_day(lab, 3 * SIZE)
    async with lab.worker():
        await spending.run("a")
        await spending.used_is(SIZE)
        await spending.end_gate()
        assert (await spending.use()).billed == SIZE, "read without a gate"
        await spending.run("b")
        await spending.used_is(2 * SIZE)
        spending.hold("c")
        running = await spending.start("c")
        await spending.began("c")
        await spending.used_is(2 * SIZE, reserved=SIZE)
        await spending.end_gate()
        waiting = await spending.start("d")
        await asyncio.sleep(0)
        spending.let_go("c")
        assert reasons(await spending.end_of(running)) == {"COMPLETE": 1}
        assert reasons(await spending.end_of(waiting)) == {"BUDGET_EXCEEDED": 1}
        await spending.used_is(3 * SIZE)
    assert lab.warehouse.most_billing <= 3 * SIZE


async def test_a_gate_that_the_engine_has_forgotten_leaves_its_day_to_the_records_and_its_runs(lab: Lab) -> None:
    spending = per_day(lab, 4 * SIZE)
    for name in "ab":
        lab.warehouse.bills[f"{name}_publish_1"] = 0
    spending.hold("c")
    async with lab.worker():
        await spending.run("a")
        await spending.run("b")
        running = await spending.start("c")
        await spending.began("c")
        await spending.used_is(2 * SIZE, reserved=SIZE)
        await spending.forget_gate()
        assert (await lab.gates.last(lab.tenant_id)).day is None
        others = await spending.start("d", "e")
        await spending.used_is(3 * SIZE, reserved=SIZE)  # one of them waits for what the first may not bill
        spending.let_go("c")
        assert reasons(await spending.end_of(running)) == {"COMPLETE": 1}
        assert reasons(await spending.end_of(others)) == {"COMPLETE": 1, "BUDGET_EXCEEDED": 1}
        await spending.used_is(4 * SIZE)
    assert lab.warehouse.most_billing <= 4 * SIZE


async def test_a_run_that_was_ended_by_hand_counts_with_what_its_step_had_reserved(lab: Lab) -> None:
    spending = per_day(lab, 2 * SIZE)
    spending.hold("a")
    async with lab.worker():
        started = await spending.start("a")
        await spending.began("a")
        execution = await lab.execution(started.pipeline_logging_id)
        await lab.client.get_workflow_handle(execution.workflow_id, run_id=execution.engine_run_id).terminate()
        run = await spending.run("b", "c")
        assert reasons(run) == {"COMPLETE": 1, "BUDGET_EXCEEDED": 1}
        await spending.used_is(2 * SIZE)


async def test_a_cancelled_run_counts_with_what_its_step_may_have_billed_and_frees_what_waits(lab: Lab) -> None:
    spending = per_day(lab, 2 * SIZE)
    spending.hold("a", "b")
    async with lab.worker():
        first = await spending.start("a", "b")
        await spending.began("a")
        await spending.began("b")
        second = await spending.start("c")
        await spending.used_is(0, reserved=2 * SIZE)
        execution = await lab.execution(first.pipeline_logging_id)
        await lab.client.get_workflow_handle(execution.workflow_id, run_id=execution.engine_run_id).cancel()
        assert (await spending.end_of(first)).state.status is RunStatus.CANCELLED
        assert reasons(await spending.end_of(second)) == {"BUDGET_EXCEEDED": 1}
        await spending.used_is(2 * SIZE)


@pytest.mark.parametrize("by_job", [False, True], ids=["the attempt hears first", "the job ends first"])
async def test_a_cancelled_run_that_had_all_that_was_left_counts_with_what_its_job_says_that_it_billed(
    lab: Lab, by_job: bool
) -> None:
    spending = per_day(lab, 3 * SIZE)
    wanted = spending.plan("a")
    lab.warehouse.estimates["select a"] = Estimate(SIZE, "dry_run_at_least", 1)
    lab.warehouse.bills_cut_off["a_stage_1"] = LEAST
    spending.hold("a")
    async with lab.worker():
        started = await lab.start(wanted)
        await spending.began("a")
        await spending.used_is(0, reserved=3 * SIZE)
        execution = await lab.execution(started.pipeline_logging_id)
        await lab.client.get_workflow_handle(execution.workflow_id, run_id=execution.engine_run_id).cancel()
        if by_job:
            await lab.warehouse.cancel(job_id(started.pipeline_logging_id, "a", STAGE, 1))
        run = await spending.end_of(started)
        assert (run.state.status, run.state.steps[0].status) == (RunStatus.CANCELLED, StepStatus.CANCELLED)
        await spending.used_is(LEAST)
        assert reasons(await spending.run("b", "c")) == {"COMPLETE": 2}


async def test_a_run_that_is_cancelled_while_it_waits_for_bytes_takes_none(lab: Lab) -> None:
    spending = per_day(lab, SIZE)
    spending.hold("a")
    async with lab.worker():
        first = await spending.start("a")
        await spending.began("a")
        second = await spending.start("b")
        execution = await lab.execution(second.pipeline_logging_id)
        await asyncio.sleep(1)
        await lab.client.get_workflow_handle(execution.workflow_id, run_id=execution.engine_run_id).cancel()
        assert (await spending.end_of(second)).state.status is RunStatus.CANCELLED
        spending.let_go("a")
        assert reasons(await spending.end_of(first)) == {"COMPLETE": 1}
        await spending.used_is(SIZE)
    assert "b_stage_1" not in lab.warehouse.caps


async def test_a_lost_worker_gives_nothing_away_twice_and_its_job_counts_once(lab: Lab) -> None:
    spending = per_day(lab, 2 * SIZE)
    spending.hold("a")
    async with lab.worker():
        started = await spending.start("a")
        await spending.began("a")
    async with lab.worker():
        other = await spending.start("b")
        assert reasons(await spending.end_of(other)) == {"COMPLETE": 1}
        await spending.used_is(SIZE, reserved=SIZE)
        spending.let_go("a")
        run = await spending.end_of(started)
        assert (reasons(run), run.state.steps[0].attempts) == ({"COMPLETE": 1}, 2)
        await spending.used_is(2 * SIZE)
        assert list(lab.warehouse.caps) == ["a_stage_1", "b_stage_1"], "no second job"


async def test_a_day_that_is_used_up_refuses_new_runs_and_lets_active_ones_be_joined(lab: Lab) -> None:
    spending = per_day(lab, 2 * SIZE)
    clock = FakeClock()
    budgets = Budgets(spending.limits, lab.gates, lab.engine, clock)
    spending.hold("b")
    async with lab.worker():
        await spending.run("a")
        wanted, other = spending.plan("b"), spending.plan("c")
        await lab.start(wanted)
        await spending.began("b")
        use = await spending.use()
        await clock.advance((_midnight_of(use.day) - clock.now()).total_seconds() + 3600)
        assert await budgets.left_of_day(lab.tenant_id) == 0
        await budgets.require_left(other)
        tight = Budgets(BudgetLimits(per_day=SIZE), lab.gates, lab.engine, clock)
        await tight.require_left(wanted)
        with pytest.raises(BudgetExceeded) as refused:
            await tight.require_left(other)
        assert (refused.value.retry_delay_seconds, refused.value.metadata) == (23 * 3600, {"bytes_left": "0"})
        await clock.advance(24 * 3600)
        await tight.require_left(other)
        assert await budgets.left_of_day(lab.tenant_id) == SIZE, "what is reserved stays so beyond midnight"
        assert await budgets.left_of_day(uuid.uuid4().hex) == 2 * SIZE
        spending.let_go("b")


async def test_a_gate_shows_what_was_used_before_it_from_its_first_moment_and_under_each_new_history(
    lab: Lab, short_histories: int
) -> None:
    limits = Limits(30, 30, 3 * SIZE)
    lab.limit(limits)
    today = datetime.now(UTC).date().isoformat()
    known = DayUse(today, 3 * SIZE, used=SIZE)
    ghost = SlotRequest(f"run/{lab.tenant_id}/{'0' * 15}", str(uuid.uuid4()), datetime.now(UTC), "none")
    spending = per_day(lab, 3 * SIZE)
    await lab.gates.open(GateState(lab.tenant_id, limits, day=known), GateSignal(lab.tenant_id, LEAVE_SIGNAL, ghost))
    assert await spending.use() == known, "before any worker has seen it"
    gate = lab.client.get_workflow_handle(gate_id(lab.tenant_id))
    first = (await gate.describe()).run_id
    async with lab.worker(), asyncio.timeout(PATIENCE_SECONDS):
        for _ in range(10):
            await asyncio.gather(*(gate.signal(LEAVE_SIGNAL, ghost) for _ in range(short_histories // 10)))
        while (await gate.describe()).run_id == first:  # noqa: ASYNC110 - the engine says when it says
            await asyncio.sleep(0.1)
    assert await spending.use() == known


def _midnight_of(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC)
