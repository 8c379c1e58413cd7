"""An attempt that the engine gave up leaves its job to the attempt that follows it; one that was cancelled does not."""

import asyncio
import uuid
from typing import Any

import pytest
from temporalio.activity import ActivityCancellationDetails
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from common.clock import SystemClock
from common.errors import Terminal
from common.warehouse.attempts import run_once
from common.warehouse.warehouse import Destination, JobResult, QueryJob, Statement, TableRef, Warehouse
from pipeline_service.activities import others_go_on, while_alive

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


async def first_and_second_attempt(
    warehouse: Warehouse, job: QueryJob, **details: bool
) -> tuple[JobResult | BaseException, JobResult | BaseException]:
    """What becomes of two attempts at one job, the first of which hears these details of a cancellation."""

    watched: Any = Watched(warehouse)

    async def first_attempt() -> JobResult:
        async with while_alive():
            return await run_once(
                watched,
                lambda _: job,
                deadline_seconds=60,
                max_attempts=1,
                clock=SystemClock(),
                leaves_job=others_go_on,
            )

    environment = ActivityEnvironment()
    await warehouse.submit(job)  # both attempts find it at work
    first = asyncio.ensure_future(environment.run(first_attempt))
    second = asyncio.ensure_future(
        run_once(warehouse, lambda _: job, deadline_seconds=60, max_attempts=1, clock=SystemClock())
    )
    await watched.waited.wait()
    environment.cancel(cancellation_details=ActivityCancellationDetails(**details))
    outcomes = await asyncio.gather(first, second, return_exceptions=True)
    return outcomes[0], outcomes[1]


@pytest.mark.parametrize("connect", ["local"], indirect=True)
@pytest.mark.parametrize("detail", ["not_found", "timed_out", "worker_shutdown", "paused", "reset"])
async def test_an_attempt_that_was_given_up_leaves_its_job_to_the_next(
    warehouse: Warehouse, job: QueryJob, detail: str
) -> None:
    first, second = await first_and_second_attempt(warehouse, job, **{detail: True})
    assert isinstance(second, JobResult)
    assert isinstance(first, ApplicationError)
    assert not first.non_retryable


@pytest.mark.parametrize("connect", ["local"], indirect=True)
async def test_an_attempt_whose_run_was_cancelled_takes_its_job_along(warehouse: Warehouse, job: QueryJob) -> None:
    first, second = await first_and_second_attempt(warehouse, job, cancel_requested=True)
    assert isinstance(first, asyncio.CancelledError)
    assert isinstance(second, Terminal)
