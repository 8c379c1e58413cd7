"""A warehouse that refuses everything for a minute, or is gone: runs wait for it and finish, and it costs their steps no attempt."""

import asyncio
from typing import get_args

import pytest

from tests.chaos.evidence import assert_done_once
from tests.chaos.fate import Fate
from tests.chaos.installation import TEMPLATE, Installation, caller
from tests.chaos.sizes import FULL
from tests.rpc.pipeline_stack import DAY
from tests.stubs.bigquery import BigQueryStub
from tests.stubs.bigquery.faults import Method
from tests.warehouses import LocalServer

OUTAGE_SECONDS = 60.0 if FULL else 6.0
"""Longer than what the adapter, and a step that counted it as attempts, would bear."""
SLOW = Fate(slow_part="_publish_", slow_seconds=1.0)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("place", ["bigquery", "local"], indirect=True)
async def test_runs_wait_for_a_warehouse_that_refuses_everything_and_finish(
    place: Installation, request: pytest.FixtureRequest
) -> None:
    """One run is about to publish, one begins, and one is asked for while nothing answers."""
    tenants = [await place.onboard() for _ in range(3)]
    replica, _ = place.pair()
    await replica.start(SLOW)
    patients = [caller(tenant, replica) for tenant in tenants]
    async with patients[0] as first, patients[1] as second, patients[2] as third:
        run_ids = [await first.run_template(tenants[0].tenant_id, TEMPLATE, DAY)]
        await staged(place, run_ids[0], tenants[0].tenant_id)
        run_ids.append(await second.run_template(tenants[1].tenant_id, TEMPLATE, DAY))
        refuse(place, request)
        asking = asyncio.create_task(third.run_template(tenants[2].tenant_id, TEMPLATE, DAY))
        await asyncio.sleep(OUTAGE_SECONDS)
        answer_again(place, request)
        run_ids.append(await asking)
        watches = zip((first, second, third), run_ids, strict=True)
        runs = await asyncio.gather(*(patient.end_of(run_id) for patient, run_id in watches))
    for tenant, run in zip(tenants, runs, strict=True):
        await assert_done_once(place, tenant, run)
        assert [step.attempts for step in run.steps] == [1, 1], run


async def staged(place: Installation, run_id: str, tenant_id: str) -> None:
    """Return once the run has staged its rows."""
    wanted = f"_stage_{run_id.replace('-', '')}_load"
    async with asyncio.timeout(60):
        while wanted not in {ref.table for ref in await place.warehouse.list_tables(tenant_id)}:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def refuse(place: Installation, request: pytest.FixtureRequest) -> None:
    """From now on BigQuery answers every request with an error that passes, and the local server is not there."""
    if place.stub is not None:
        _every_method(place.stub, times=1_000_000)
    else:
        _server(request).kill()


def answer_again(place: Installation, request: pytest.FixtureRequest) -> None:
    """The outage is over."""
    if place.stub is not None:
        _every_method(place.stub, times=0)
    else:
        _server(request).start()


def _every_method(stub: BigQueryStub, *, times: int) -> None:
    for method in get_args(Method):
        stub.faults.refuse(method, "backendError", times=times)


def _server(request: pytest.FixtureRequest) -> LocalServer:
    server: LocalServer = request.getfixturevalue("local_server")
    return server
