"""BackfillTemplate over a real connection: a run for each day, none doubled, each day as it was asked for."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio

from common.warehouse.warehouse import Warehouse
from convergence.pipeline.v1 import pipeline_service_pb2 as pb2
from convergence.pipeline.v1 import plan_pb2, run_pb2
from tests.rpc.backfill_calls import DAYS, DAYS_TEMPLATE, FIRST, LAST, Backfills, most_at_once, statuses
from tests.rpc.held_warehouse import HeldWarehouse
from tests.rpc.pipeline_stack import PipelineStack, configs_with, pipeline_stack
from tests.rpc.statuses import refused
from tests.rpc.tenant_stack import tenant_stack

pytestmark = pytest.mark.asyncio(loop_scope="module")
ON_ONE = pytest.mark.parametrize("kind", ["local"], indirect=True)
"""For what has nothing to do with the warehouse."""


@pytest.fixture(scope="module")
def configs_dir(shared_folder: Path) -> Path:
    templates = {"days": DAYS_TEMPLATE, "changing": DAYS_TEMPLATE, "alone": f"{DAYS_TEMPLATE}exclusive: true\n"}
    return configs_with(shared_folder, templates)


@pytest.fixture(scope="module")
def held(shared_warehouse: Warehouse) -> HeldWarehouse:
    return HeldWarehouse(shared_warehouse)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(
    held: HeldWarehouse, temporal_address: str, shared_folder: Path, configs_dir: Path
) -> AsyncIterator[PipelineStack]:
    adapter = cast("Warehouse", held)
    options = {"configs_dir": configs_dir, "max_active_runs_per_tenant": 3}
    async with (
        tenant_stack(shared_folder, adapter) as tenants,
        pipeline_stack(shared_folder, adapter, tenants, temporal_address, **options) as running,
    ):
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def backfills(stack: PipelineStack, held: HeldWarehouse) -> AsyncIterator[Backfills]:
    """A new tenant's, whose runs have ended before the next test holds its own."""
    calls = Backfills(stack, held, *await stack.onboard())
    yield calls
    held.release()
    await calls.all_ended()


async def test_every_day_has_its_run_and_a_day_that_fails_does_not_stop_the_others(backfills: Backfills) -> None:
    answer = await backfills.call(trigger_by="me", parameters={"note": "again"})
    assert (answer.status, answer.already_running) == (run_pb2.Run.PENDING, False)
    assert answer.pipeline_id == f"{backfills.tenant_id}-gcp-test-days"
    ended = await backfills.end_of(answer.pipeline_logging_id)
    assert statuses(ended) == ["FAILED", "COMPLETE", "COMPLETE", "FAILED"], ended
    assert ended.status == run_pb2.Run.FAILED
    assert ended.error.message == "2 of 4 days did not complete"
    assert [day.date for day in ended.backfill.days] == list(DAYS)
    assert dict(ended.parameters) == {"note": "again"}
    for day in ended.backfill.days:
        run = await backfills.get(day.pipeline_logging_id)
        assert dict(run.parameters) == {"date": day.date, "note": "again"}
        assert (run.backfill_of, run.trigger_by, day.joined) == (ended.pipeline_logging_id, "me", False)
        assert run_pb2.Run.Status.Name(run.status) == run_pb2.Backfill.DayStatus.Name(day.status)
    rows = {row["pipeline_logging_id"]: row for row in await backfills.rows("pipeline_runs")}
    assert len(rows) == 5
    assert {row["backfill_of"] for row in rows.values()} == {None, ended.pipeline_logging_id}
    assert rows[ended.pipeline_logging_id]["status"] == "FAILED"


@ON_ONE
async def test_a_day_that_is_active_is_joined_and_not_run_twice(backfills: Backfills) -> None:
    backfills.held.hold()
    twin = await backfills.start_run(date="2025-11-15")
    await backfills.held.waiting.wait()
    run_id = await backfills.start()
    backfills.held.release()
    ended = await backfills.end_of(run_id)
    joined = ended.backfill.days[1]
    assert (joined.pipeline_logging_id, joined.joined, joined.status) == (twin, True, run_pb2.Backfill.COMPLETE)
    assert [day.joined for day in ended.backfill.days] == [False, True, False, False]
    assert (await backfills.get(twin)).backfill_of == ""
    assert len(await backfills.rows("pipeline_runs")) == 5


@ON_ONE
async def test_one_backfill_of_a_template_is_active_at_a_time(backfills: Backfills) -> None:
    backfills.held.hold()
    run_id = await backfills.start()
    again = await backfills.call()
    assert (again.pipeline_logging_id, again.already_running) == (run_id, True)
    others: list[dict[str, Any]] = [{"end_date": FIRST}, {"parameters": {"note": "else"}}, {"skip_complete": True}]
    for other in others:
        refusal = await refused(backfills.call(**other))
        assert (refusal.code, refusal.reason) == ("ABORTED", "PIPELINE_BUSY")
        assert refusal.metadata == {"pipeline_logging_id": run_id}
    backfills.held.release()
    await backfills.end_of(run_id)
    later = await backfills.run(end_date=FIRST)
    assert (statuses(later), later.pipeline_logging_id == run_id) == (["FAILED"], False)


@ON_ONE
async def test_a_cancelled_backfill_ends_its_own_runs_and_leaves_those_that_it_joined(backfills: Backfills) -> None:
    backfills.held.hold()
    twin = await backfills.start_run(date="2025-11-15")
    await backfills.held.waiting.wait()
    run_id = await backfills.start(max_parallel=2)
    await backfills.stands(run_id, running=2, pending=2)
    await backfills.cancel(run_id)
    ended = await backfills.end_of(run_id)
    assert (ended.status, statuses(ended)) == (run_pb2.Run.CANCELLED, ["CANCELLED"] * 4)
    assert [bool(day.pipeline_logging_id) for day in ended.backfill.days] == [True, True, False, False]
    assert (await backfills.get(ended.backfill.days[0].pipeline_logging_id)).status == run_pb2.Run.CANCELLED
    assert (await backfills.get(twin)).status == run_pb2.Run.RUNNING
    assert await backfills.cancel(run_id) == ended, "cancelling again changes nothing"
    backfills.held.release()
    assert (await backfills.end_of(twin)).status == run_pb2.Run.COMPLETE


async def test_a_retry_runs_only_the_days_that_failed_each_from_where_it_failed(
    backfills: Backfills, configs_dir: Path
) -> None:
    failed = await backfills.run(template_name="changing", parameters={"note": "kept"})
    assert statuses(failed) == ["FAILED", "COMPLETE", "COMPLETE", "FAILED"]
    await backfills.mend(FIRST)
    template = configs_dir / "gcp" / "test" / "changing.yml"
    template.write_text(DAYS_TEMPLATE.replace("min: 1}]", "min: 100}]"))  # a change that the backfill does not know of
    again = await backfills.end_of(await backfills.retry(failed.pipeline_logging_id))
    assert (again.retry_of, again.trigger_by) == (failed.pipeline_logging_id, "retry")
    assert statuses(again) == ["COMPLETE", "COMPLETE", "COMPLETE", "FAILED"], again
    before, after = failed.backfill.days, again.backfill.days
    assert list(after[1:3]) == list(before[1:3]), "what was done is not done again"
    for number in (0, 3):
        runs = [await backfills.get(days[number].pipeline_logging_id) for days in (before, after)]
        assert dict(runs[1].parameters) == {"date": DAYS[number], "note": "kept"}
        assert (runs[1].retry_of, runs[1].backfill_of) == (runs[0].pipeline_logging_id, again.pipeline_logging_id)
        assert runs[1].steps[0] == runs[0].steps[0]
    assert again.template_digest == failed.template_digest
    await backfills.mend(LAST)
    last = await backfills.end_of(await backfills.retry(again.pipeline_logging_id))
    assert (last.status, statuses(last)) == (run_pb2.Run.COMPLETE, ["COMPLETE"] * 4)
    refusal = await refused(backfills.retry(last.pipeline_logging_id))
    assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "RUN_NOT_RETRYABLE")


async def test_days_whose_last_run_is_complete_are_passed_over_where_that_is_wanted(backfills: Backfills) -> None:
    complete = await backfills.end_of(await backfills.start_run(date="2025-11-15"))
    failed = await backfills.end_of(await backfills.start_run(date=FIRST))
    other = await backfills.end_of(await backfills.start_run(date="2025-11-16", parameters={"note": "other"}))
    assert [run.status for run in (complete, failed, other)] == [
        run_pb2.Run.COMPLETE,
        run_pb2.Run.FAILED,
        run_pb2.Run.COMPLETE,
    ]
    await backfills.mend(FIRST, LAST)
    ended = await backfills.run(skip_complete=True)
    assert statuses(ended) == ["COMPLETE", "SKIPPED", "COMPLETE", "COMPLETE"]
    assert ended.status == run_pb2.Run.COMPLETE
    assert ended.backfill.days[1].pipeline_logging_id == complete.pipeline_logging_id
    assert len(await backfills.rows("pipeline_runs")) == 7
    assert statuses(await backfills.run(skip_complete=True)) == ["SKIPPED"] * 4
    assert statuses(await backfills.run(end_date=FIRST)) == ["COMPLETE"]


async def test_no_more_days_are_active_than_the_caller_and_the_warehouse_want(backfills: Backfills) -> None:
    most = min(backfills.stack.warehouse.writers_per_table or 3, 3)
    backfills.held.hold()
    run_id = await backfills.start(max_parallel=3)
    run = await backfills.stands(run_id, running=most, pending=4 - most)
    assert run.backfill.max_parallel == most
    assert run.status == run_pb2.Run.RUNNING
    backfills.held.release()
    await backfills.end_of(run_id)
    assert await most_at_once(backfills, run_id) == most


@ON_ONE
async def test_limits_of_active_runs_hold_for_its_days(backfills: Backfills) -> None:
    backfills.held.hold()
    others = [await backfills.start_run(date=day, parameters={"note": "other"}) for day in DAYS[:2]]
    for _ in others:
        await backfills.held.arrivals.acquire()
    run_id = await backfills.start(max_parallel=2)
    run = await backfills.stands(run_id, running=2)
    await backfills.wait_in_line(*(day.pipeline_logging_id for day in run.backfill.days[:2]), places=[0, 1])
    backfills.held.release()
    await backfills.end_of(run_id)
    assert await most_at_once(backfills, run_id) <= 2


async def test_a_listing_tells_of_a_backfill_in_short_and_a_plan_does_not_take_it_for_a_run(
    backfills: Backfills,
) -> None:
    run = await backfills.end_of(await backfills.start_run(date="2025-11-15"))
    ended = await backfills.run(start_date="2025-11-16", end_date="2025-11-16", skip_complete=True)
    (day,) = ended.backfill.days
    request = pb2.ListRunsRequest(tenant_id=backfills.tenant_id, order=pb2.ListRunsRequest.EARLIEST_FIRST)
    listed = (await backfills.stack.stub.ListRuns(request, metadata=backfills.key, timeout=20)).runs
    assert [one.pipeline_logging_id for one in listed] == [
        run.pipeline_logging_id,
        ended.pipeline_logging_id,
        day.pipeline_logging_id,
    ]
    assert (listed[1].backfill.complete_days, len(listed[1].backfill.days)) == (1, 0)
    assert not listed[0].HasField("backfill")
    skipping = await backfills.run(start_date="2025-11-16", end_date="2025-11-16", skip_complete=True)
    assert statuses(skipping) == ["SKIPPED"]
    plan = plan_pb2.PlanTemplateRequest(
        tenant_id=backfills.tenant_id, provider="gcp", domain="test", template_name="days", date="2025-11-15"
    )
    planned = await backfills.stack.stub.PlanTemplate(plan, metadata=backfills.key, timeout=20)
    assert planned.difference.pipeline_logging_id == day.pipeline_logging_id


@ON_ONE
async def test_a_request_id_stands_for_one_backfill_also_after_it_was_refused(backfills: Backfills) -> None:
    backfills.held.hold()
    first, second = {"request_id": str(uuid.uuid4())}, {"request_id": str(uuid.uuid4()), "end_date": FIRST}
    run_id = await backfills.start(**first)
    assert (await refused(backfills.call(**second))).reason == "PIPELINE_BUSY"
    assert (await refused(backfills.call(**second))).reason == "PIPELINE_BUSY"
    backfills.held.release()
    await backfills.end_of(run_id)
    later = await backfills.start(**second)
    assert later != run_id
    await backfills.end_of(later)
    assert await backfills.start(**first) == run_id
    assert await backfills.start(**second) == later
    assert (await refused(backfills.call(**first | {"end_date": FIRST}))).reason == "REQUEST_ID_REUSED"


@ON_ONE
async def test_what_one_of_the_days_cannot_have_is_refused_before_any_is_run(backfills: Backfills) -> None:
    refusal = await refused(backfills.call(end_date="2026-01-01"))
    assert (refusal.code, refusal.fields) == ("INVALID_ARGUMENT", ("date",))
    assert not await backfills.rows("pipeline_runs")


@ON_ONE
async def test_the_days_of_an_exclusive_template_follow_each_other(backfills: Backfills) -> None:
    backfills.held.hold()
    other = await backfills.start_run("alone", date="2025-11-16")
    await backfills.held.waiting.wait()
    run_id = await backfills.start(template_name="alone", start_date="2025-11-15", end_date="2025-11-16")
    run = await backfills.get(run_id)
    assert (statuses(run), run.backfill.max_parallel) == (["PENDING", "PENDING"], 1)
    backfills.held.release()
    ended = await backfills.end_of(run_id)
    assert statuses(ended) == ["COMPLETE", "COMPLETE"], ended
    assert (await backfills.end_of(other)).status == run_pb2.Run.COMPLETE
    assert await most_at_once(backfills, run_id) == 1


@ON_ONE
async def test_a_watch_tells_of_every_change_on_the_way(backfills: Backfills) -> None:
    backfills.held.hold()
    run_id = await backfills.start(start_date="2025-11-15", end_date="2025-11-16", max_parallel=1)
    await backfills.held.waiting.wait()
    request = pb2.WatchRunRequest(pipeline_logging_id=run_id)
    seen: list[tuple[str, ...]] = []
    async for run in backfills.stack.stub.WatchRun(request, metadata=backfills.key, timeout=60):
        backfills.held.release()
        if tuple(statuses(run)) not in seen:
            seen.append(tuple(statuses(run)))
    assert seen[0] in [("PENDING", "PENDING"), ("RUNNING", "PENDING")]
    assert seen[-3:] == [("COMPLETE", "PENDING"), ("COMPLETE", "RUNNING"), ("COMPLETE", "COMPLETE")]


@ON_ONE
async def test_another_tenants_backfill_is_not_found(backfills: Backfills) -> None:
    ended = await backfills.run(end_date=FIRST)
    rival = Backfills(backfills.stack, backfills.held, *await backfills.stack.onboard(export=False))
    for call in (rival.get, rival.end_of, rival.cancel, rival.retry):
        refusal = await refused(call(ended.pipeline_logging_id))
        assert (refusal.code, refusal.reason) == ("NOT_FOUND", "RUN_NOT_FOUND")
    assert (await refused(rival.call(tenant_id=backfills.tenant_id))).reason == "TENANT_MISMATCH"
