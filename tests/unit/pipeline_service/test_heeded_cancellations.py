"""A run that is told to stop begins nothing more, also where what it does at that moment ends before it hears of it."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from common.warehouse.estimate import Estimate
from common.warehouse.warehouse import Statement
from pipeline_service.plan import Plan, PlanStatement
from pipeline_service.run import Run, RunStatus
from pipeline_service.steps.attempt import Attempt
from pipeline_service.steps.conditions import Conditions
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.fake_warehouse import FakeWarehouse
from tests.unit.pipeline_service.plans import plan, query_step, statement
from tests.unit.pipeline_service.spending import SIZE, Spending, per_day, per_run

PATIENCE_SECONDS = 60.0


class Moment:
    """Something that a run does, which waits until it is let go."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.let_go = asyncio.Event()

    async def pass_by(self) -> None:
        self.began.set()
        await self.let_go.wait()


@pytest.fixture
def deciding(monkeypatch: pytest.MonkeyPatch) -> Moment:
    """The moment at which a step's condition is looked at."""
    moment = Moment()

    async def holds(_conditions: Conditions, _attempt: Attempt, _when: PlanStatement) -> bool:
        await moment.pass_by()
        return True

    monkeypatch.setattr(Conditions, "holds", holds)
    return moment


@pytest.fixture
def estimating(monkeypatch: pytest.MonkeyPatch) -> Moment:
    """The moment at which the dry run of step b is made."""
    moment, estimate = Moment(), FakeWarehouse.estimate

    async def held(warehouse: FakeWarehouse, wanted: Statement) -> Estimate:
        if wanted.sql == "select b":
            await moment.pass_by()
        return await estimate(warehouse, wanted)

    monkeypatch.setattr(FakeWarehouse, "estimate", held)
    return moment


@pytest.fixture(autouse=True)
def unheard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Activities hear of nothing by themselves."""
    monkeypatch.setattr("pipeline_service.heartbeat.HEARTBEAT_SECONDS", 3600.0)


async def cancelled_at(moment: Moment, lab: Lab, wanted: Plan) -> Run:
    """The end of a run that is cancelled at that moment."""
    started = await lab.start(wanted)
    await moment.began.wait()
    handle = lab.client.get_workflow_handle(lab.workflow_id(wanted))
    await handle.cancel()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await has_heard(lab, wanted):  # noqa: ASYNC110 - the engine says when it says
            await asyncio.sleep(0.02)
    moment.let_go.set()
    return await lab.end_of(started)


async def has_heard(lab: Lab, wanted: Plan) -> bool:
    """Whether the run's workflow has asked its activity to stop."""
    history = await lab.client.get_workflow_handle(lab.workflow_id(wanted)).fetch_history()
    return any(event.HasField("activity_task_cancel_requested_event_attributes") for event in history.events)


async def test_a_step_whose_condition_is_looked_at_meanwhile_is_not_begun(lab: Lab, deciding: Moment) -> None:
    wanted = plan(lab.tenant_id, replace(query_step(lab.tenant_id), when=statement("select condition")))
    async with lab.worker(), asyncio.timeout(PATIENCE_SECONDS):
        run = await cancelled_at(deciding, lab, wanted)
    assert run.state.status is RunStatus.CANCELLED
    assert not lab.warehouse.began["load_stage_1"].is_set()


async def test_a_run_whose_time_is_over_meanwhile_publishes_nothing(lab: Lab, deciding: Moment) -> None:
    step = replace(query_step(lab.tenant_id), when=statement("select condition"))
    wanted = replace(plan(lab.tenant_id, step), timeout_seconds=0.5)
    async with lab.worker(), asyncio.timeout(PATIENCE_SECONDS):
        started = await lab.start(wanted)
        while not await has_heard(lab, wanted):  # noqa: ASYNC110 - the engine says when it says
            await asyncio.sleep(0.02)
        deciding.let_go.set()
        run = await lab.end_of(started)
    assert run.state.error is not None
    assert run.state.error.reason == "RUN_TIMEOUT"
    assert not lab.warehouse.began["load_stage_1"].is_set()


def within_its_own(lab: Lab) -> Spending:
    return per_run(lab, 3 * SIZE)


def within_the_day_of_the_tenant(lab: Lab) -> Spending:
    return per_day(lab, SIZE + SIZE // 2)


@pytest.mark.parametrize("budget", [within_its_own, within_the_day_of_the_tenant])
async def test_a_step_that_reckons_meanwhile_what_it_may_bill_is_not_begun_and_waits_for_no_bytes(
    lab: Lab, estimating: Moment, budget: Callable[[Lab], Spending]
) -> None:
    spending = budget(lab)
    spending.hold("a")  # and what it has reserved of the day leaves too little for another
    async with lab.worker(), asyncio.timeout(PATIENCE_SECONDS):
        other = await spending.start("a")
        await spending.began("a")
        run = await cancelled_at(estimating, lab, spending.plan("b"))
        spending.let_go("a")
        await spending.end_of(other)
    assert run.state.status is RunStatus.CANCELLED
    assert not lab.warehouse.began["b_stage_1"].is_set()
