"""Runs beyond what a tenant may have active at once, over gRPC on both warehouses: they wait, and say where they stand."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio

from common.warehouse.warehouse import Warehouse
from convergence.errors.v1 import error_reason_pb2
from convergence.pipeline.v1 import pipeline_service_pb2 as pb2
from convergence.pipeline.v1 import run_pb2
from convergence.tenant.v1 import tenant_service_pb2 as tenants_pb2
from tests.rpc.held_warehouse import HeldWarehouse
from tests.rpc.life_calls import BOUNDS, PIPELINE_BOUNDS, LifeCalls
from tests.rpc.pipeline_stack import TEMPLATES, configs_with, pipeline_stack
from tests.rpc.statuses import until
from tests.rpc.tenant_stack import tenant_stack

pytestmark = pytest.mark.asyncio(loop_scope="module")
PATIENCE_SECONDS = 60
NOTES = ("first", "second", "third")


class WaitingRuns:
    """Three runs of a tenant that may have one: the first executes as long as the test wants, the others wait."""

    def __init__(self, calls: LifeCalls, held: HeldWarehouse) -> None:
        self.calls = calls
        self._held = held
        self.ids: list[str] = []
        self.tenant_id, self.key = "", cast("Any", None)

    async def start(self) -> None:
        """Onboard, and start them one after the other."""
        stack = self.calls.stack
        self.tenant_id, self.key = await stack.onboard()
        self._held.hold()
        for note in NOTES:
            started = await stack.start(self.tenant_id, self.key, parameters={"note": note})
            self.ids.append(started.pipeline_logging_id)
            if note == "first":
                await self._held.waiting.wait()
        await self.places(0, 1, 2)

    def release(self) -> None:
        """Let them execute."""
        self._held.release()

    async def get(self, number: int) -> run_pb2.Run:
        """GetRun."""
        request = pb2.GetRunRequest(pipeline_logging_id=self.ids[number])
        run: run_pb2.Run = await self.calls.stack.stub.GetRun(request, metadata=self.key, timeout=20)
        return run

    async def places(self, *expected: int) -> None:
        """Return once the runs have these places in the queue."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while [(await self.get(number)).queue_position for number in range(len(expected))] != list(expected):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def end_of(self, number: int) -> run_pb2.Run:
        """WatchRun to the end."""
        return await self.calls.stack.end_of(self.key, self.ids[number])


@pytest.fixture(scope="module")
def held(shared_warehouse: Warehouse) -> HeldWarehouse:
    return HeldWarehouse(shared_warehouse)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def calls(held: HeldWarehouse, temporal_address: str, shared_folder: Path) -> AsyncIterator[LifeCalls]:
    """The services, where a tenant may have one run."""
    adapter = cast("Warehouse", held)
    configs_dir = configs_with(shared_folder, TEMPLATES)
    options = {"configs_dir": configs_dir, "max_active_runs_per_tenant": 1, **PIPELINE_BOUNDS}
    async with (
        tenant_stack(shared_folder, adapter, **BOUNDS) as tenants,
        pipeline_stack(shared_folder, adapter, tenants, temporal_address, **options) as stack,
    ):
        yield LifeCalls(stack)


@pytest_asyncio.fixture(loop_scope="module")
async def waiting(calls: LifeCalls, held: HeldWarehouse) -> AsyncIterator[WaitingRuns]:
    """A new tenant's runs, which have ended before the next test holds its own."""
    runs = WaitingRuns(calls, held)
    await runs.start()
    yield runs
    held.release()
    for number in range(len(NOTES)):
        await runs.end_of(number)


async def test_a_run_that_waits_is_pending_recorded_and_joined_like_any_other(waiting: WaitingRuns) -> None:
    run = await waiting.get(1)
    assert (run.status, run.queue_position) == (run_pb2.Run.PENDING, 1)
    request = pb2.ListRunsRequest(tenant_id=waiting.tenant_id)
    async with asyncio.timeout(PATIENCE_SECONDS):
        listed = await waiting.calls.stack.stub.ListRuns(request, metadata=waiting.key, timeout=20)
        while len(listed.runs) < len(NOTES):
            listed = await waiting.calls.stack.stub.ListRuns(request, metadata=waiting.key, timeout=20)
    places = {one.pipeline_logging_id: one.queue_position for one in listed.runs}
    assert places == dict(zip(waiting.ids, (0, 1, 2), strict=True))
    again = await waiting.calls.stack.start(waiting.tenant_id, waiting.key, parameters={"note": "second"})
    assert (again.pipeline_logging_id, again.already_running) == (waiting.ids[1], True)


async def test_a_watch_tells_every_place_on_the_way(waiting: WaitingRuns) -> None:
    request = pb2.WatchRunRequest(pipeline_logging_id=waiting.ids[2])
    cancel = pb2.CancelRunRequest(pipeline_logging_id=waiting.ids[1])
    seen: list[tuple[int, int]] = []
    async for run in waiting.calls.stack.stub.WatchRun(request, metadata=waiting.key, timeout=PATIENCE_SECONDS):
        seen.append((run.status, run.queue_position))
        if seen == [(run_pb2.Run.PENDING, 2)]:
            await waiting.calls.stack.stub.CancelRun(cancel, metadata=waiting.key, timeout=20)
        elif seen[-1] == (run_pb2.Run.PENDING, 1):
            waiting.release()
    assert seen[:2] == [(run_pb2.Run.PENDING, 2), (run_pb2.Run.PENDING, 1)]
    assert {place for _, place in seen[2:]} == {0}
    assert seen[-1][0] == run_pb2.Run.COMPLETE
    assert (await waiting.get(1)).status == run_pb2.Run.CANCELLED


async def test_a_suspension_holds_waiting_runs_and_lets_the_one_that_executes_finish(waiting: WaitingRuns) -> None:
    await waiting.calls.suspend(waiting.tenant_id)
    await asyncio.sleep(BOUNDS["auth_bound_seconds"] + 2.5)  # the bound of a suspension, and of what gates know
    waiting.release()
    assert (await waiting.end_of(0)).status == run_pb2.Run.COMPLETE
    assert [(run.status, run.queue_position) for run in (await waiting.get(1), await waiting.get(2))] == [
        (run_pb2.Run.PENDING, 1),
        (run_pb2.Run.PENDING, 2),
    ]
    await waiting.calls.resume(waiting.tenant_id)
    assert (await waiting.end_of(2)).status == run_pb2.Run.COMPLETE
    assert (await waiting.end_of(1)).status == run_pb2.Run.COMPLETE


async def test_what_ends_the_runs_of_a_tenant_ends_those_that_wait_too(waiting: WaitingRuns) -> None:
    await waiting.calls.suspend(waiting.tenant_id)
    assert (await waiting.calls.cancel_runs(waiting.tenant_id)).cancelled_count == len(NOTES)
    ended = [await waiting.get(number) for number in range(len(NOTES))]
    assert {(run.status, run.queue_position) for run in ended} == {(run_pb2.Run.CANCELLED, 0)}
    assert [run.HasField("start_time") for run in ended] == [True, False, False]


async def test_a_grant_taken_back_while_a_run_waits_keeps_its_step_from_starting_and_the_run_says_why(
    waiting: WaitingRuns,
) -> None:
    stack, tenant_id = waiting.calls.stack, waiting.tenant_id
    request = tenants_pb2.SetSourcesRequest(tenant_id=tenant_id)
    await stack.tenants.stub.SetSources(request, metadata=waiting.calls.admin, timeout=20)
    taken_back = ("FAILED_PRECONDITION", "SOURCE_NOT_GRANTED")
    await until(lambda: stack.start(tenant_id, waiting.key, parameters={"note": "later"}), taken_back, seconds=30)
    waiting.release()
    for number in (1, 2):
        run = await waiting.end_of(number)
        assert (run.status, run.error.reason) == (run_pb2.Run.FAILED, error_reason_pb2.TABLE_NOT_ALLOWED)
        assert run.error.step_id == "load"
        assert f"export_{tenant_id}.rows" in run.error.message
        assert (run.steps[0].stage_job_id, run.steps[0].bytes_billed) == ("", 0), "nothing was asked of the warehouse"
        assert run.steps[1].status == run_pb2.Step.SKIPPED
