"""An attempt that the engine gave up leaves its job to the attempt that follows it; one that was cancelled does not."""

import asyncio
import uuid
from typing import Any, cast

import pytest
from temporalio.activity import ActivityCancellationDetails
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from common.clock import SystemClock
from common.errors import Terminal
from common.warehouse.attempts import run_once
from common.warehouse.warehouse import Destination, JobResult, QueryJob, Statement, TableRef, Warehouse
from pipeline_service.heartbeat import is_given_up, while_alive
from tests.unit.pipeline_service.fake_warehouse import FakeWarehouse

LONG = (
    "SELECT COUNT(*) AS n FROM UNNEST(GENERATE_ARRAY(1, 30000)) AS a CROSS JOIN UNNEST(GENERATE_ARRAY(1, 20000)) AS b "
    "WHERE MOD(a * b, 7) = 3"
)


class Watched:
    """A warehouse that tells when somebody waits for a job."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self.waited = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        if name == "wait":
            self.waited.set()
        return getattr(self._warehouse, name)


@pytest.fixture
async def job(warehouse: Warehouse) -> QueryJob:
    dataset = f"t_{uuid.uuid4().hex[:16]}"
    await warehouse.create_dataset(dataset, location="US", labels={})
    return QueryJob(f"job_{uuid.uuid4().hex}", Statement(LONG), Destination(TableRef(dataset, "_stage_x")))


def first_attempt_at(job: QueryJob, warehouse: Warehouse) -> tuple[asyncio.Future[JobResult], ActivityEnvironment]:
    """An attempt under way, and what cancels it."""

    async def first_attempt() -> JobResult:
        async with while_alive():
            return await run_once(
                warehouse,
                lambda _: job,
                deadline_seconds=60,
                max_attempts=1,
                clock=SystemClock(),
                leaves_job=is_given_up,
            )

    environment = ActivityEnvironment()
    return asyncio.ensure_future(environment.run(first_attempt)), environment


async def first_and_second_attempt(
    warehouse: Warehouse, job: QueryJob, **details: bool
) -> tuple[JobResult | BaseException, JobResult | BaseException]:
    """What becomes of two attempts at one job, the first of which hears these details of a cancellation."""

    watched: Any = Watched(warehouse)
    await warehouse.submit(job)  # both attempts find it at work
    first, environment = first_attempt_at(job, watched)
    second = asyncio.ensure_future(
        run_once(warehouse, lambda _: job, deadline_seconds=60, max_attempts=1, clock=SystemClock())
    )
    await watched.waited.wait()
    environment.cancel(cancellation_details=ActivityCancellationDetails(**details))
    outcomes = await asyncio.gather(first, second, return_exceptions=True)
    return outcomes[0], outcomes[1]


@pytest.mark.parametrize("connect", ["local"], indirect=True)
async def test_an_attempt_that_was_given_up_leaves_its_job_to_the_next(warehouse: Warehouse, job: QueryJob) -> None:
    first, second = await first_and_second_attempt(warehouse, job, timed_out=True)
    assert isinstance(second, JobResult)
    assert isinstance(first, ApplicationError)
    assert not first.non_retryable


@pytest.mark.parametrize("detail", ["not_found", "timed_out", "worker_shutdown", "paused", "reset"])
async def test_an_attempt_given_up_for_whatever_cause_cancels_no_job_and_fails_like_a_passing_failure(
    detail: str,
) -> None:
    warehouse = FakeWarehouse()
    warehouse.held["stage_1"].clear()
    first, attempt = first_attempt_at(QueryJob("job_stage_1", Statement("select load")), cast("Warehouse", warehouse))
    await warehouse.began["stage_1"].wait()
    attempt.cancel(cancellation_details=ActivityCancellationDetails(**{detail: True}))
    with pytest.raises(ApplicationError) as failed:
        await first
    assert not failed.value.non_retryable
    assert warehouse.cancelled == []
    await warehouse.close()


@pytest.mark.parametrize("connect", ["local"], indirect=True)
async def test_an_attempt_whose_run_was_cancelled_takes_its_job_along(warehouse: Warehouse, job: QueryJob) -> None:
    first, second = await first_and_second_attempt(warehouse, job, cancel_requested=True)
    assert isinstance(first, asyncio.CancelledError)
    assert isinstance(second, Terminal)
