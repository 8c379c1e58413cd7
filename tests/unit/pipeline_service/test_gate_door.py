"""Who starts a run asks its tenant's gate for a slot, and tells the run where it is given at once; on a real engine."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory

from common.clock import SystemClock
from common.errors import TenantSuspended
from pipeline_service import gate, temporal_engine, temporal_gates
from pipeline_service.engine import Started
from pipeline_service.gate_door import GateDoor
from pipeline_service.gate_messages import GateSignal, SlotRequest
from pipeline_service.run import RunStatus
from pipeline_service.temporal_engine import TemporalEngine
from pipeline_service.temporal_gates import TemporalGates
from pipeline_service.temporal_names import ASK_SIGNAL, LEAVE_SIGNAL, gate_id
from tests.replay.recorded import replay
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.crowd import PATIENCE_SECONDS, Crowd
from tests.unit.pipeline_service.plans import plan

BY_STARTER, BY_GATE = "granted", "grant"
_WAITS = b"false"
"""What a starter says, after the run's id, who was given no slot for it."""


@pytest.fixture
async def crowd(lab: Lab) -> AsyncIterator[Crowd]:
    """A worker with limits of 4 runs, 3 of a template, and a gate that has had a run."""
    async with lab.worker():
        crowd = Crowd(lab)
        await crowd.start(1)
        crowd.let_go(0)
        await crowd.end_of(0)
        yield crowd


async def history_of(lab: Lab, started: Started) -> WorkflowHistory:
    """What the engine has of a run, which replays."""
    execution = await lab.execution(started.pipeline_logging_id)
    handle = lab.client.get_workflow_handle(execution.workflow_id, run_id=execution.engine_run_id)
    history = await handle.fetch_history()
    await replay(history)
    return history


async def granted_by(lab: Lab, started: Started) -> list[str]:
    """The signals by which the run has heard of its slot, in order."""
    events = (await history_of(lab, started)).events
    signals = [event.workflow_execution_signaled_event_attributes for event in events]
    named = [
        signal.signal_name for signal in signals if _WAITS not in [payload.data for payload in signal.input.payloads]
    ]
    return [name for name in named if name in (BY_STARTER, BY_GATE)]


async def has_begun(lab: Lab, started: Started) -> None:
    """Return once the run's first task is done."""
    execution = await lab.execution(started.pipeline_logging_id)
    handle = lab.client.get_workflow_handle(execution.workflow_id, run_id=execution.engine_run_id)
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for event in handle.fetch_history_events(wait_new_event=True):
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
                return


def request(lab: Lab, workflow_id: str, engine_run_id: str) -> SlotRequest:
    """A run of the crowd's template that wants a slot."""
    return SlotRequest(workflow_id, engine_run_id, SystemClock().now(), f"{lab.tenant_id}-gcp-cost-bill")


@pytest.mark.usefixtures("patience")
async def test_a_run_that_gets_its_slot_at_once_finds_it_in_its_first_task(lab: Lab, crowd: Crowd) -> None:
    await crowd.start(1)
    crowd.let_go(1)
    await crowd.end_of(1)
    history = await history_of(lab, crowd.started[1])
    kinds = [event.event_type for event in history.events]
    assert kinds[:3] == [
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
        EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED,
    ]
    assert kinds.count(EventType.EVENT_TYPE_MARKER_RECORDED) == 1, "of all changes of the workflow together"
    assert EventType.EVENT_TYPE_TIMER_STARTED not in kinds
    assert await granted_by(lab, crowd.started[1]) == [BY_STARTER]
    await replay(await lab.client.get_workflow_handle(gate_id(lab.tenant_id)).fetch_history())


@pytest.mark.usefixtures("patience")
async def test_a_run_that_has_to_wait_begins_all_the_same(
    lab: Lab, crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporal_engine, "START_DELAY", timedelta(minutes=5))
    await crowd.start(4)
    await crowd.began(1, 2, 3)
    await has_begun(lab, crowd.started[4])
    crowd.let_go(*range(5))
    await crowd.end_of(1, 2, 3, 4)


@pytest.mark.usefixtures("patience")
async def test_a_gate_that_has_looked_long_ago_lets_a_run_in_without_a_look(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "FIRST_PAUSE", timedelta(0))
    async with lab.worker():
        crowd = Crowd(lab)
        for number in range(2):
            await crowd.start(1)
            crowd.let_go(number)
            await crowd.end_of(number)
        assert await granted_by(lab, crowd.started[1]) == [BY_STARTER]
        history = await lab.client.get_workflow_handle(gate_id(lab.tenant_id)).fetch_history()
        assert EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED not in [event.event_type for event in history.events]


async def test_a_run_that_has_to_wait_hears_of_its_slot_from_the_gate(lab: Lab, crowd: Crowd) -> None:
    await crowd.start(4)
    await crowd.began(1, 2, 3)
    await crowd.stand_at({4: 1})
    crowd.let_go(*range(5))
    await crowd.end_of(1, 2, 3, 4)
    assert await granted_by(lab, crowd.started[4]) == [BY_GATE]
    assert crowd.most_at_once() == 3


async def test_a_gate_of_a_release_that_does_not_answer_is_left_a_message(
    lab: Lab, crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporal_gates, "ASK_UPDATE", "unheard-of")
    await crowd.start(1)
    crowd.let_go(1)
    await crowd.end_of(1)
    assert await granted_by(lab, crowd.started[1]) == [BY_GATE]


class Dying(TemporalGates):
    """Gates of a starter that dies before it tells a run of its slot."""

    async def let_begin(self, asking: SlotRequest) -> bool:
        """Tell nobody."""
        return True


class Late(TemporalGates):
    """Gates that answer too late to be heard."""

    async def ask(self, knock: GateSignal) -> bool | None:
        """Hear nothing."""
        await super().ask(knock)
        return None


async def start_by(lab: Lab, gates: type[TemporalGates]) -> Started:
    """Start a run whose slot is asked for at these gates."""
    door = GateDoor(gates(lab.client, task_queue=lab.task_queue), lab.limits)
    wanted = plan(lab.tenant_id)
    return await TemporalEngine(lab.client, task_queue=lab.task_queue, door=door).start(wanted.workflow_id, wanted)


async def test_a_run_whose_gate_answered_too_late_is_told_by_it_and_not_that_it_waits(lab: Lab, crowd: Crowd) -> None:
    started = await start_by(lab, Late)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await lab.end_of(started)
    events = (await history_of(lab, started)).events
    signals = [event.workflow_execution_signaled_event_attributes.signal_name for event in events]
    assert BY_GATE in signals
    assert BY_STARTER not in signals
    await crowd.start(3)
    await crowd.began(1, 2, 3)


async def test_a_run_whose_starter_died_before_it_told_of_the_slot_is_told_by_the_gate(lab: Lab, crowd: Crowd) -> None:
    started = await start_by(lab, Dying)
    async with asyncio.timeout(PATIENCE_SECONDS):
        run = await lab.end_of(started)
    assert run.state.status is RunStatus.COMPLETE
    assert await granted_by(lab, started) == [BY_GATE]
    await crowd.start(3)
    crowd.let_go(1, 2, 3)
    await crowd.end_of(1, 2, 3)


async def test_a_run_that_is_cancelled_before_its_first_task_is_recorded_and_holds_no_slot(
    lab: Lab, crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patient:
        patient.setattr(temporal_engine, "START_DELAY", timedelta(minutes=5))
        started = await start_by(lab, Dying)
    await lab.engine.cancel((await lab.execution(started.pipeline_logging_id)).active_run)
    async with asyncio.timeout(PATIENCE_SECONDS):
        run = await lab.end_of(started)
    assert run.state.status is RunStatus.CANCELLED
    rows = lab.warehouse.records("pipeline_runs")
    assert [row["status"] for row in rows if row["pipeline_logging_id"] == run.pipeline_logging_id] == ["CANCELLED"]
    await crowd.start(3)
    await crowd.began(1, 2, 3)


async def test_a_run_that_ends_before_it_is_told_of_its_slot_gives_it_back(lab: Lab, crowd: Crowd) -> None:
    ended = await crowd.engine_run(0)
    for _ in range(3):
        late = request(lab, ended.workflow_id, str(uuid.uuid4()))
        await lab.door.ask(GateSignal(lab.tenant_id, ASK_SIGNAL, late))
    await crowd.start(3)
    await crowd.began(1, 2, 3)


async def test_no_slot_is_given_at_once_while_the_tenant_is_suspended(lab: Lab, crowd: Crowd) -> None:
    await crowd.start(4)
    await crowd.began(1, 2, 3)
    await crowd.stand_at({4: 1})
    lab.tenants.problem = TenantSuspended()
    await asyncio.sleep(2.1)  # what was known of the tenant as the runs were accepted counts for 2 s
    crowd.let_go(1, 2, 3)
    await crowd.end_of(1, 2, 3)
    await crowd.start(1)
    await crowd.stand_at({4: 1, 5: 2})
    assert not crowd.begun() & {4, 5}
    lab.tenants.problem = None
    crowd.let_go(4, 5)
    await crowd.end_of(4, 5)


async def test_an_asking_that_is_overtaken_by_its_runs_leaving_takes_no_slot_also_under_a_new_history(
    short_histories: int, lab: Lab, crowd: Crowd
) -> None:
    await crowd.start(3)
    await crowd.began(1, 2, 3)
    await crowd.start(2)
    await crowd.stand_at({4: 1, 5: 2})
    gate_handle = lab.client.get_workflow_handle(gate_id(lab.tenant_id))
    left = await crowd.engine_run(1)
    stale = request(lab, left.workflow_id, left.engine_run_id)
    await gate_handle.signal(LEAVE_SIGNAL, stale)
    await crowd.began(4)
    first = (await gate_handle.describe()).run_id
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await gate_handle.describe()).run_id == first:
            await asyncio.gather(*(gate_handle.signal(LEAVE_SIGNAL, stale) for _ in range(short_histories // 10)))
    assert await lab.gates.ask(GateSignal(lab.tenant_id, ASK_SIGNAL, stale)) is False
    await gate_handle.signal(ASK_SIGNAL, stale)
    await crowd.stand_at({5: 1})
    crowd.let_go(2)
    await crowd.began(5)
    crowd.let_go(*range(6))
    await crowd.end_of(*range(1, 6))
