"""A cancellation that comes just before a step publishes: the step looks, whatever it has heard."""

import asyncio
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from unittest.mock import Mock

import pytest

from common.clock import SystemClock
from common.templates.resolved import Write
from common.warehouse.warehouse import Destination, QueryJob, ReplaceJob
from pipeline_service.price import Price
from pipeline_service.records import Records
from pipeline_service.run import RunStatus
from pipeline_service.step_result import RunRef
from pipeline_service.steps.attempt import PUBLISH, STAGE, Attempt, NoLongerWanted
from pipeline_service.steps.checks import Checks
from pipeline_service.steps.publication import Publication
from pipeline_service.still_wanted import run_is_wanted
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.fake_warehouse import DAY, FakeWarehouse
from tests.unit.pipeline_service.plans import plan, query_step
from tests.unit.pipeline_service.spending import SIZE, per_day

PATIENCE_SECONDS = 60.0


@pytest.mark.parametrize("by_hand", [False, True], ids=["cancelled", "ended by hand"])
@pytest.mark.parametrize("write", ["replace_partition", "view"])
async def test_a_step_that_has_not_heard_of_its_runs_end_does_not_publish(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, by_hand: bool, write: Write
) -> None:
    checked, has_ended, looked = asyncio.Event(), asyncio.Event(), asyncio.Event()
    seen: list[bool] = []

    async def check(_checks: Checks, _attempt: Attempt, _rows: str) -> None:
        checked.set()
        await has_ended.wait()

    async def look() -> bool:
        seen.append(await run_is_wanted())
        looked.set()
        return seen[-1]

    monkeypatch.setattr(Checks, "run", check)
    monkeypatch.setattr("pipeline_service.activities.run_is_wanted", look)
    monkeypatch.setattr("pipeline_service.heartbeat.HEARTBEAT_SECONDS", 3600.0)  # it hears of nothing by itself
    step = query_step(lab.tenant_id)
    assert step.query is not None
    wanted = plan(lab.tenant_id, replace(step, max_attempts=1, query=replace(step.query, write=write)))
    async with lab.worker(), asyncio.timeout(PATIENCE_SECONDS):
        started = await lab.start(wanted)
        await checked.wait()
        handle = lab.client.get_workflow_handle(lab.workflow_id(wanted))
        await (handle.terminate() if by_hand else handle.cancel())
        has_ended.set()
        await looked.wait()
        run = await lab.end_of(started)
    assert (run.state.status, seen) == (RunStatus.CANCELLED, [False])
    assert "load_publish_1" not in lab.warehouse.effects
    assert f"{lab.tenant_id}.load_table" not in lab.warehouse.tables


async def test_a_step_of_a_run_that_goes_on_publishes(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    async def look() -> bool:
        seen.append(await run_is_wanted())
        return seen[-1]

    monkeypatch.setattr("pipeline_service.activities.run_is_wanted", look)
    async with lab.worker():
        run = await lab.run(plan(lab.tenant_id))
    assert (run.state.status, seen) == (RunStatus.COMPLETE, [True])


async def test_a_merge_that_is_given_up_before_it_is_submitted_bills_nothing_of_what_was_reserved_for_it(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[Attempt] = []
    reserved, has_ended = asyncio.Event(), asyncio.Event()

    async def check(_checks: Checks, attempt: Attempt, _rows: str) -> None:
        checked.append(attempt)
        if len(checked) > 1:  # the first asks for the bytes of the merge, and the second has them
            reserved.set()
            await has_ended.wait()

    monkeypatch.setattr(Checks, "run", check)
    monkeypatch.setattr("pipeline_service.heartbeat.HEARTBEAT_SECONDS", 3600.0)
    spending = per_day(lab, 100 * SIZE)
    bounded = spending.plan("a")
    [step] = bounded.steps
    assert step.query is not None
    wanted = replace(bounded, steps=(replace(step, query=replace(step.query, write="merge", keys=("day",))),))
    async with lab.worker(), asyncio.timeout(PATIENCE_SECONDS):
        started = await lab.start(wanted)
        await reserved.wait()
        await lab.client.get_workflow_handle(lab.workflow_id(wanted)).cancel()
        has_ended.set()
        assert (await lab.end_of(started)).state.status is RunStatus.CANCELLED
        await spending.used_is(SIZE)


@pytest.mark.parametrize("has_begun", [True, False], ids=["had begun to publish", "had not"])
async def test_what_an_attempt_that_was_lost_had_begun_to_publish_is_seen_through(has_begun: bool) -> None:
    warehouse, clock = FakeWarehouse(), SystemClock()
    step = plan("acme", query_step("acme")).steps[0]
    assert step.query is not None
    attempt = Attempt(
        RunRef("run", "acme-gcp-cost-load", "acme", datetime.now(UTC)),
        step,
        number=2,
        schedule_time=datetime.now(UTC),
        leaves_jobs=lambda: False,
        price=Price(Decimal(0)),
        is_wanted=_never,
    )
    warehouse.selects["select load"] = [{"day": DAY}]

    def stage(number: int, destination: Destination, most: int | None) -> QueryJob:
        return QueryJob(attempt.job_id(STAGE, number), step.query.select.statement(), destination, {}, most, 30.0)  # type: ignore[union-attr]

    publication = Publication(warehouse, Checks(warehouse, Mock(Records), clock), clock)
    if has_begun:
        await warehouse.submit(stage(1, Destination(attempt.stage, partition_column="day", clustering=()), None))
        await warehouse.wait(attempt.job_id(STAGE, 1), timeout_seconds=PATIENCE_SECONDS)
        await warehouse.submit(
            ReplaceJob(attempt.job_id(PUBLISH, 1), attempt.stage, attempt.target, DAY, {}, PATIENCE_SECONDS)
        )
    with nullcontext() if has_begun else pytest.raises(NoLongerWanted):
        await publication.run(attempt, step.query, stage, nullcontext(warehouse))
    published = [effect for effect in warehouse.effects if "_publish_" in effect]
    assert published == (["load_publish_1"] if has_begun else [])
    await warehouse.close()


async def _never() -> bool:
    return False
