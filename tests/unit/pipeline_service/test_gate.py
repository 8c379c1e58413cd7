"""The gate of a tenant, on a real engine: runs wait, get slots in order, and give them back whoever ends them."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from temporalio.client import WorkflowExecutionStatus

from common.clock import SystemClock
from common.errors import TenantNotFound, TenantSuspended, Terminal
from pipeline_service.engine import ActiveRun, Started
from pipeline_service.gate_messages import GateState, Limits, SlotRequest
from pipeline_service.get_run import GetRun
from pipeline_service.run import Run, RunStatus
from pipeline_service.temporal_engine import TemporalEngine
from pipeline_service.temporal_names import ASK_SIGNAL, GATE_WORKFLOW, LEAVE_SIGNAL, gate_id
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.fake_warehouse import DAY
from tests.unit.pipeline_service.plans import plan, query_step, with_timeout
from tests.waiting import until

PATIENCE_SECONDS = 30.0


class Crowd:
    """Runs of one tenant, each of a step of its own that lasts until it is let go."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._get_run = GetRun(lab.engine, lab.records)
        self.started: list[Started] = []

    async def start(self, count: int, template: str = "bill", max_active_runs: int | None = None) -> list[int]:
        """Start runs; their numbers."""
        numbers = []
        for _ in range(count):
            number, tenant = len(self.started), self._lab.tenant_id
            self._lab.warehouse.selects[f"select s{number}"] = [{"day": DAY}]
            self._lab.warehouse.held[f"s{number}_stage_1"].clear()
            wanted = plan(tenant, with_timeout(query_step(tenant, f"s{number}"), 600.0), number=str(number))
            header = replace(wanted.header, pipeline_id=f"{tenant}-gcp-cost-{template}")
            wanted = replace(wanted, header=header, max_active_runs=max_active_runs)
            self.started.append(await self._lab.start(wanted))
            numbers.append(number)
        return numbers

    async def fill(self) -> None:
        """Start as many runs of one template as may be active."""
        await self.start(self._lab.limits.per_template)
        await self.began(*range(self._lab.limits.per_template))

    def let_go(self, *numbers: int) -> None:
        """Let the steps of these runs end."""
        for number in numbers:
            self._lab.warehouse.held[f"s{number}_stage_1"].set()

    async def began(self, *numbers: int) -> None:
        """Return once the steps of these runs have begun."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            for number in numbers:
                await self._lab.warehouse.began[f"s{number}_stage_1"].wait()

    def begun(self) -> set[int]:
        """The runs whose steps have begun."""
        began = self._lab.warehouse.began
        return {number for number in range(len(self.started)) if began[f"s{number}_stage_1"].is_set()}

    async def run(self, number: int) -> Run:
        """A run as GetRun has it."""
        execution = await self._lab.execution(self.started[number].pipeline_logging_id)
        return await self._get_run.placed(execution)

    async def positions(self, *numbers: int) -> list[int]:
        """Where these runs stand in the queue."""
        return [(await self.run(number)).queue_position for number in numbers]

    async def stand_at(self, expected: dict[int, int]) -> None:
        """Return once the runs have these places."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self.positions(*expected) != list(expected.values()):  # noqa: ASYNC110 - the engine says when it says
                await asyncio.sleep(0.02)

    async def end_of(self, *numbers: int) -> list[Run]:
        """The runs once they have ended."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return [await self._lab.end_of(self.started[number]) for number in numbers]

    async def engine_run(self, number: int) -> ActiveRun:
        """The run as the engine names it."""
        execution = await self._lab.execution(self.started[number].pipeline_logging_id)
        return execution.active_run

    async def terminate(self, number: int) -> None:
        """End a run as an operator does by hand."""
        run = await self.engine_run(number)
        await self._lab.client.get_workflow_handle(run.workflow_id, run_id=run.engine_run_id).terminate()

    def most_at_once(self) -> int:
        """The most runs that were active at one moment, as their records tell."""
        rows = [row for row in self._lab.warehouse.records("pipeline_runs") if row["start_time"] and row["end_time"]]
        times: list[tuple[datetime, datetime]] = [(row["start_time"], row["end_time"]) for row in rows]
        return max(sum(begin <= moment < end for begin, end in times) for moment, _ in times)


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
    assert (await gate.describe()).history_length < short_histories
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
    lab.warehouse.failures["end_1"] = Terminal("refused")
    crowd.let_go(0)
    await crowd.began(3)
    del lab.warehouse.failures["end_1"]
    crowd.let_go(*range(4))
    await crowd.end_of(*range(4))


async def test_a_starter_whose_clock_is_ahead_puts_its_run_behind_none_that_comes_later(lab: Lab, crowd: Crowd) -> None:
    await crowd.fill()
    await crowd.start(1)
    await crowd.stand_at({3: 1})
    gate = lab.client.get_workflow_handle(gate_id(lab.tenant_id))
    execution = await crowd.engine_run(3)
    template = f"{lab.tenant_id}-gcp-cost-bill"
    tomorrow = SystemClock().now() + timedelta(days=1)
    early = SlotRequest(execution.workflow_id, execution.engine_run_id, tomorrow, template)
    await gate.signal(LEAVE_SIGNAL, early)
    await crowd.stand_at({3: 0})
    await gate.signal(ASK_SIGNAL, early)
    await crowd.stand_at({3: 1})
    await crowd.start(1)
    await crowd.stand_at({3: 1, 4: 2})
    crowd.let_go(*range(5))
    await crowd.end_of(*range(5))
