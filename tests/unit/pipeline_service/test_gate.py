"""The gate of a tenant, on a real engine: runs wait, get slots in order, and give them back whoever ends them."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from temporalio.client import WorkflowExecutionStatus

from common.clock import SystemClock
from common.errors import TenantNotFound, TenantSuspended, Terminal
from pipeline_service.gate_messages import GateState, Limits, SlotRequest
from pipeline_service.run import RunStatus
from pipeline_service.temporal_engine import TemporalEngine
from pipeline_service.temporal_names import ASK_SIGNAL, GATE_WORKFLOW, LEAVE_SIGNAL, gate_id
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.crowd import PATIENCE_SECONDS, Crowd
from tests.unit.pipeline_service.plans import plan
from tests.waiting import until


@pytest.fixture
async def crowd(lab: Lab) -> AsyncIterator[Crowd]:
    """A worker with limits of 4 runs, 3 of a template, and no run yet."""
    async with lab.worker():
        yield Crowd(lab)


async def test_runs_beyond_the_limits_wait_in_order_and_know_their_place(lab: Lab, crowd: Crowd) -> None:
    await crowd.fill()
    await crowd.start(2)
    await crowd.start(1, "other")
    await crowd.began(5)
    await crowd.start(1, "other")
    await crowd.stand_at({0: 0, 3: 1, 4: 2, 5: 0, 6: 3})
    assert (await crowd.run(3)).state.status is RunStatus.PENDING
    assert crowd.begun() == {0, 1, 2, 5}
    await until(lambda: len(lab.warehouse.records("pipeline_runs")) == 7, PATIENCE_SECONDS)  # also those that wait

    crowd.let_go(1)
    await crowd.began(3)
    await crowd.stand_at({4: 1, 6: 2})
    crowd.let_go(5)
    await crowd.began(6)
    await crowd.stand_at({4: 1})
    crowd.let_go(*range(7))
    assert {run.state.status for run in await crowd.end_of(*range(7))} == {RunStatus.COMPLETE}
    assert crowd.most_at_once() == 4


async def test_a_template_has_fewer_runs_at_once_where_it_wants_fewer(crowd: Crowd) -> None:
    await crowd.start(1, max_active_runs=1)
    await crowd.began(0)
    await crowd.start(2, max_active_runs=1)
    await crowd.stand_at({1: 1, 2: 2})
    assert crowd.begun() == {0}
    crowd.let_go(0, 1, 2)
    await crowd.end_of(0, 1, 2)
    assert crowd.most_at_once() == 1


async def test_a_failed_run_and_a_cancelled_one_give_their_slots_back(lab: Lab, crowd: Crowd) -> None:
    await crowd.fill()
    await crowd.start(3)
    lab.warehouse.selects.pop("select s0")  # the fake then raises KeyError
    crowd.let_go(0)
    await crowd.began(3)
    await lab.engine.cancel(await crowd.engine_run(1))
    await crowd.began(4)
    assert crowd.begun() == {0, 1, 2, 3, 4}
    crowd.let_go(*range(6))
    ended = await crowd.end_of(*range(6))
    assert [run.state.status for run in ended[:2]] == [RunStatus.FAILED, RunStatus.CANCELLED]


async def test_a_run_that_is_cancelled_while_it_waits_never_starts_and_leaves_its_place(lab: Lab, crowd: Crowd) -> None:
    await crowd.fill()
    await crowd.start(3)
    await crowd.stand_at({3: 1, 4: 2, 5: 3})
    await lab.engine.cancel(await crowd.engine_run(4))
    (cancelled,) = await crowd.end_of(4)
    assert cancelled.state.status is RunStatus.CANCELLED
    assert cancelled.state.start_time is None
    await crowd.stand_at({3: 1, 5: 2})
    crowd.let_go(*range(6))
    await crowd.end_of(0, 1, 2, 3, 5)
    assert 4 not in crowd.begun()


async def test_a_run_that_was_ended_by_hand_gives_its_slot_back(crowd: Crowd) -> None:
    await crowd.fill()
    await crowd.start(2)
    await crowd.stand_at({3: 1, 4: 2})
    await crowd.terminate(0)
    await crowd.terminate(3)
    await crowd.began(4)
    assert crowd.begun() == {0, 1, 2, 4}


async def test_a_gate_that_was_ended_by_hand_learns_from_its_runs_who_holds_what(lab: Lab, crowd: Crowd) -> None:
    await crowd.fill()
    await crowd.start(3)
    await crowd.stand_at({3: 1, 4: 2, 5: 3})
    await lab.client.get_workflow_handle(gate_id(lab.tenant_id)).terminate()
    await crowd.start(1)
    await crowd.stand_at({3: 1, 4: 2, 5: 3, 6: 4})
    assert crowd.begun() == {0, 1, 2}, "the slots of those that hold them count again"
    crowd.let_go(0)
    await crowd.began(3)
    crowd.let_go(*range(7))
    assert {run.state.status for run in await crowd.end_of(*range(7))} == {RunStatus.COMPLETE}
    assert crowd.most_at_once() == 3


async def test_runs_go_on_after_their_gate_was_ended_by_hand_though_no_other_run_comes(lab: Lab, crowd: Crowd) -> None:
    await crowd.fill()
    await crowd.start(2)
    await crowd.stand_at({3: 1, 4: 2})
    await lab.client.get_workflow_handle(gate_id(lab.tenant_id)).terminate()
    crowd.let_go(*range(5))
    assert {run.state.status for run in await crowd.end_of(*range(5))} == {RunStatus.COMPLETE}
    assert crowd.most_at_once() == 3


async def test_waiting_runs_of_a_suspended_tenant_are_held_until_it_is_resumed(lab: Lab, crowd: Crowd) -> None:
    await crowd.fill()
    await crowd.start(2)
    await crowd.stand_at({3: 1, 4: 2})
    lab.tenants.problem = TenantSuspended()
    await asyncio.sleep(2.1)  # what was known of the tenant as the runs were accepted counts for 2 s
    crowd.let_go(0, 1, 2)
    assert {run.state.status for run in await crowd.end_of(0, 1, 2)} == {RunStatus.COMPLETE}
    assert await crowd.positions(3, 4) == [1, 2]
    assert crowd.begun() == {0, 1, 2}
    lab.tenants.problem = None
    crowd.let_go(3, 4)
    assert {run.state.status for run in await crowd.end_of(3, 4)} == {RunStatus.COMPLETE}


async def test_waiting_runs_of_a_deleted_tenant_end_and_say_why(lab: Lab, crowd: Crowd) -> None:
    await crowd.fill()
    await crowd.start(1)
    await crowd.stand_at({3: 1})
    lab.tenants.problem = TenantNotFound()
    crowd.let_go(0)
    (ended,) = await crowd.end_of(3)
    assert ended.state.status is RunStatus.FAILED
    assert ended.state.error is not None
    assert ended.state.error.reason == "TENANT_NOT_FOUND"


async def test_a_gates_history_stays_short_and_no_slot_is_lost_with_it(
    short_histories: int, lab: Lab, crowd: Crowd
) -> None:
    await crowd.fill()
    await crowd.start(1)
    gate = lab.client.get_workflow_handle(gate_id(lab.tenant_id))
    first = (await gate.describe()).run_id
    ghost = SlotRequest(f"run/{lab.tenant_id}/{'0' * 15}", str(uuid.uuid4()), SystemClock().now(), "none")
    async with asyncio.timeout(2 * PATIENCE_SECONDS):
        for _ in range(10):
            signals = [gate.signal(signal, ghost) for signal in (ASK_SIGNAL, LEAVE_SIGNAL) * (short_histories // 20)]
            await asyncio.gather(*signals)
        while (await gate.describe()).run_id == first:  # noqa: ASYNC110 - the engine says when it says
            await asyncio.sleep(0.1)
    await crowd.stand_at({3: 1})
    async with asyncio.timeout(PATIENCE_SECONDS):  # a burst of signals may be longer, until it is heard
        while (await gate.describe()).history_length >= short_histories:  # noqa: ASYNC110 - the engine says when it says
            await asyncio.sleep(0.1)
    assert crowd.begun() == {0, 1, 2}
    crowd.let_go(*range(4))
    await crowd.end_of(*range(4))
    assert crowd.most_at_once() == 3


async def test_a_gate_closes_when_it_has_had_no_run_for_long_and_the_next_run_opens_another(
    lab: Lab, crowd: Crowd
) -> None:
    gate = await lab.client.start_workflow(
        GATE_WORKFLOW,
        GateState(lab.tenant_id, Limits(4, 3), idle_seconds=0.5),
        id=gate_id(lab.tenant_id),
        task_queue=lab.task_queue,
    )
    await crowd.start(1)
    await crowd.began(0)
    await asyncio.sleep(1.5)
    assert (await gate.describe()).status is WorkflowExecutionStatus.RUNNING, "it has a run, which says nothing"
    crowd.let_go(0)
    await crowd.end_of(0)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await gate.result()
    await crowd.start(1)
    crowd.let_go(1)
    (run,) = await crowd.end_of(1)
    assert run.state.status is RunStatus.COMPLETE


async def test_a_run_whose_starter_died_before_it_asked_for_it_asks_by_itself(lab: Lab, crowd: Crowd) -> None:
    wanted = plan(lab.tenant_id)
    started = await TemporalEngine(lab.client, task_queue=lab.task_queue).start(wanted.workflow_id, wanted)
    async with asyncio.timeout(PATIENCE_SECONDS):
        run = await lab.end_of(started)
    assert run.state.status is RunStatus.COMPLETE
    await crowd.start(1)
    crowd.let_go(0)
    await crowd.end_of(0)


async def test_a_run_whose_end_cannot_be_recorded_gives_its_slot_back_all_the_same(lab: Lab, crowd: Crowd) -> None:
    await crowd.fill()
    await crowd.start(1)
    await crowd.stand_at({3: 1})
    lab.warehouse.failures |= dict.fromkeys(["done_1", "end_1"], Terminal("refused"))
    crowd.let_go(0)
    await crowd.began(3)
    lab.warehouse.failures.clear()
    crowd.let_go(*range(4))
    await crowd.end_of(*range(4))


async def test_a_starter_whose_clock_is_ahead_puts_its_run_behind_none_that_comes_later(lab: Lab, crowd: Crowd) -> None:
    await crowd.fill()
    lab.engine = TemporalEngine(lab.client, task_queue=lab.task_queue)  # which asks for nothing
    await crowd.start(1)
    lab.limit(lab.limits)
    execution = await crowd.engine_run(3)
    template = f"{lab.tenant_id}-gcp-cost-bill"
    tomorrow = SystemClock().now() + timedelta(days=1)
    early = SlotRequest(execution.workflow_id, execution.engine_run_id, tomorrow, template)
    await lab.client.get_workflow_handle(gate_id(lab.tenant_id)).signal(ASK_SIGNAL, early)
    await crowd.stand_at({3: 1})
    await crowd.start(1)
    await crowd.stand_at({3: 1, 4: 2})
    crowd.let_go(*range(5))
    await crowd.end_of(*range(5))
