"""`run_once` when jobs fail, vanish or go unanswered: the next attempt starts only once the last is known to have failed."""

import pytest

from common.clock import SystemClock
from common.errors import JobAborted, Transient
from common.warehouse.attempts import run_once
from common.warehouse.bigquery import BigQueryWarehouse
from common.warehouse.warehouse import JobResult, QueryJob, Statement
from tests.stubs.bigquery import BigQueryStub
from tests.unit.common.warehouse.conftest import TABLE


def insertion(attempt: int) -> QueryJob:
    return QueryJob(f"effect-{attempt}", Statement(f"INSERT INTO `{TABLE}` (id) VALUES ({attempt})"))


async def run(warehouse: BigQueryWarehouse, *, deadline_seconds: float = 20) -> JobResult:
    return await run_once(warehouse, insertion, deadline_seconds=deadline_seconds, max_attempts=3, clock=SystemClock())


async def effects(warehouse: BigQueryWarehouse) -> list[object]:
    return [row["id"] for row in await warehouse.list_rows(TABLE)]


async def test_an_aborted_attempt_is_followed_by_the_next(stub: BigQueryStub, warehouse: BigQueryWarehouse) -> None:
    stub.faults.fail_job("effect-1", "backendError")
    assert (await run(warehouse)).job_id == "effect-2"
    assert await effects(warehouse) == [2]


async def test_a_process_that_takes_over_follows_the_same_attempts(
    stub: BigQueryStub, warehouse: BigQueryWarehouse
) -> None:
    stub.faults.fail_job("effect-1", "backendError")
    first = await run(warehouse)
    assert await run(warehouse) == first
    assert await effects(warehouse) == [2]


async def test_the_last_attempts_failure_is_raised(stub: BigQueryStub, warehouse: BigQueryWarehouse) -> None:
    for attempt in (1, 2, 3):
        stub.faults.fail_job(f"effect-{attempt}", "backendError")
    with pytest.raises(JobAborted):
        await run(warehouse)
    assert await effects(warehouse) == []


async def test_attempts_that_failed_before_cost_who_follows_them_no_pauses(
    stub: BigQueryStub, warehouse: BigQueryWarehouse
) -> None:
    failed = 8
    for attempt in range(1, failed + 1):
        stub.faults.fail_job(f"effect-{attempt}", "backendError")
        await warehouse.submit(insertion(attempt))
    result = await run_once(warehouse, insertion, deadline_seconds=4, max_attempts=failed + 1, clock=SystemClock())
    assert result.job_id == f"effect-{failed + 1}"


async def test_a_lost_job_is_submitted_again_under_its_id(stub: BigQueryStub, warehouse: BigQueryWarehouse) -> None:
    stub.faults.lose_job("effect-1", times=2)
    assert (await run(warehouse)).job_id == "effect-1"
    assert await effects(warehouse) == [1]


async def test_a_submission_without_an_answer_is_not_repeated(stub: BigQueryStub, warehouse: BigQueryWarehouse) -> None:
    stub.faults.lose_answer("jobs.insert")
    assert (await run(warehouse)).job_id == "effect-1"
    assert await effects(warehouse) == [1]


async def test_a_refused_submission_keeps_its_attempt(stub: BigQueryStub, warehouse: BigQueryWarehouse) -> None:
    stub.faults.refuse("jobs.insert", "tableUnavailable", times=2)
    assert (await run(warehouse)).job_id == "effect-1"
    assert await effects(warehouse) == [1]


async def test_nobody_waits_for_a_quota_and_a_later_call_uses_the_same_attempt(
    stub: BigQueryStub, warehouse: BigQueryWarehouse
) -> None:
    stub.faults.refuse("jobs.insert", "quotaExceeded")
    with pytest.raises(Transient) as caught:
        await run(warehouse)
    assert caught.value.lasts
    assert stub.requests == ["jobs.insert"]
    assert (await run(warehouse)).job_id == "effect-1"


async def test_a_job_that_found_its_quota_used_up_is_followed_by_no_other(
    stub: BigQueryStub, warehouse: BigQueryWarehouse
) -> None:
    stub.faults.fail_job("effect-1", "quotaExceeded")
    with pytest.raises(JobAborted):
        await run(warehouse)
    assert stub.requests.count("jobs.insert") == 1
    assert (await run(warehouse)).job_id == "effect-2", "whoever comes later tries again"


async def test_a_warehouse_that_goes_away_while_waiting_starts_no_other_attempt(
    stub: BigQueryStub, warehouse: BigQueryWarehouse
) -> None:
    stub.faults.refuse("jobs.get", "quotaExceeded", times=3)
    assert (await run(warehouse)).job_id == "effect-1"
    assert await effects(warehouse) == [1]


async def test_a_job_that_still_runs_at_the_deadline_starts_no_other_attempt(
    stub: BigQueryStub, warehouse: BigQueryWarehouse
) -> None:
    stub.faults.hold_job("effect-1", polls=1000)
    with pytest.raises(Transient) as caught:
        await run(warehouse, deadline_seconds=0.5)
    assert not isinstance(caught.value, JobAborted)
    assert stub.requests.count("jobs.insert") <= 3
    assert await effects(warehouse) == []
