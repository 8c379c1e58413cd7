"""How attempts at activities end."""

import asyncio
from dataclasses import replace

import pytest
from temporalio.activity import ActivityCancellationDetails
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from common.errors import Unavailable
from pipeline_service.heartbeat import retried

LAST_PAUSE_SECONDS = 8.0
"""Of the fourth attempt."""


async def test_an_attempt_that_is_given_up_is_no_failure_of_what_it_did() -> None:
    at_work = asyncio.Event()

    async def attempt() -> None:
        async with retried(lambda _: False):
            at_work.set()
            await asyncio.Event().wait()

    environment = ActivityEnvironment()
    given_up = asyncio.ensure_future(environment.run(attempt))
    await at_work.wait()
    environment.cancel(cancellation_details=ActivityCancellationDetails(worker_shutdown=True))
    with pytest.raises(ApplicationError) as ended:
        await given_up
    assert (ended.value.type, ended.value.non_retryable) == ("WORKER_LOST", False)


@pytest.mark.parametrize("repeat", [True, False])
async def test_a_failure_is_told_without_its_cause_and_repeated_only_where_it_may_be(repeat: bool) -> None:
    async def attempt() -> None:
        async with retried(lambda error: repeat and isinstance(error, Unavailable), longest_pause_attempt=4):
            raise Unavailable("away") from ValueError("the text of a row")

    environment = ActivityEnvironment()
    environment.info = replace(environment.info, attempt=20)
    with pytest.raises(ApplicationError) as failed:
        await environment.run(attempt)
    assert failed.value.message == "away"
    assert failed.value.__cause__ is None
    assert failed.value.non_retryable is not repeat
    pause = failed.value.next_retry_delay
    assert (pause is not None) is repeat
    assert pause is None or LAST_PAUSE_SECONDS / 2 <= pause.total_seconds() <= LAST_PAUSE_SECONDS
