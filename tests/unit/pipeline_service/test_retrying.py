"""Retrying: a request id gets the answer that its first call got, also where that joined a retry of somebody else's."""

import uuid
from collections.abc import Callable, Coroutine

import pytest

from common.clock import SystemClock
from common.errors import RequestIdReused
from common.rpc.caller import Caller
from pipeline_service.budgets import BudgetLimits, Budgets
from pipeline_service.engine import Started
from pipeline_service.get_run import GetRun
from pipeline_service.request_record import request_key
from pipeline_service.retry_run import RetryRun
from pipeline_service.run import Run, RunStatus
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.plans import check, plan, query_step

Retry = Callable[..., Coroutine[object, object, Started]]


@pytest.fixture
def retry(lab: Lab) -> Retry:
    """RetryRun as a key of the tenant calls it."""
    get_run = GetRun(lab.engine, lab.records)
    budgets = Budgets(BudgetLimits(), lab.gates, lab.engine, SystemClock())
    retry_run = RetryRun(
        get_run=get_run, tenants=lab.tenants, engine=lab.engine, budgets=budgets, requests=lab.requests
    )

    async def retry(run: Run, request_id: str = "", trigger_by: str = "") -> Started:
        return await retry_run(
            Caller("key", lab.tenant_id),
            pipeline_logging_id=run.pipeline_logging_id,
            tenant_id="",
            trigger_by=trigger_by,
            request_id=request_id,
        )

    return retry


async def failed(lab: Lab) -> Run:
    """A run that failed. Whatever follows it is held before its first rows are staged."""
    run = await lab.run(plan(lab.tenant_id, query_step(lab.tenant_id, checks=(check("bad"),))))
    assert run.state.status is RunStatus.FAILED
    lab.warehouse.held["load_stage_1"].clear()
    return run


async def test_a_repeat_of_a_call_that_joined_a_retry_says_so_again_after_the_retry_has_ended(
    lab: Lab, retry: Retry
) -> None:
    request_id = str(uuid.uuid4())
    async with lab.worker():
        run = await failed(lab)
        running = await retry(run)
        joined = await retry(run, request_id)
        assert (joined.pipeline_logging_id, joined.already_running) == (running.pipeline_logging_id, True)
        lab.warehouse.held["load_stage_1"].set()
        await lab.end_of(running)
        assert await retry(run, request_id) == joined
        with pytest.raises(RequestIdReused):
            await retry(run, request_id, trigger_by="somebody else")


async def test_an_answer_that_a_record_was_opened_with_is_kept_whoever_binds_it_later(lab: Lab, retry: Retry) -> None:
    request_id = str(uuid.uuid4())
    async with lab.worker():
        run = await failed(lab)
        await retry(run)
        joined = await retry(run, request_id)
        key = request_key(lab.tenant_id, request_id)
        await lab.ledger.bind(key, Started("another", joined.pipeline_id, RunStatus.PENDING, already_running=False))
        await lab.client.get_workflow_handle(key).query("__stack_trace")  # comes after the signal
        assert await retry(run, request_id) == joined
        lab.warehouse.held["load_stage_1"].set()
