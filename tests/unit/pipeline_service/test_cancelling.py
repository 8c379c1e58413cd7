"""CancelRuns on a real engine: every run of one tenant ends, none of another's does, and nobody starts one behind its back."""

import asyncio
import uuid

import pytest

from common.errors import InvalidInput, TenantInUse, Terminal, Unavailable
from common.rpc.caller import Caller
from pipeline_service.cancel_runs import CancelRuns
from pipeline_service.engine import ActiveRun, Started
from pipeline_service.request_record import request_key
from pipeline_service.run import RunStatus
from pipeline_service.temporal_engine import TemporalEngine
from tests.clock import FakeClock
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.plans import plan, query_step

ADMIN = Caller("admin:12345678", None)
SETTLE_SECONDS = 35.0
DIGEST = "digest of the request"


class Cancellation:
    """CancelRuns under way, by a clock that a test moves."""

    def __init__(self, lab: Lab) -> None:
        self._clock = FakeClock()
        self._begin = self._clock.monotonic()
        cancel_runs = CancelRuns(
            tenants=lab.tenants,
            engine=lab.engine,
            requests=lab.requests,
            clock=self._clock,
            settle_seconds=SETTLE_SECONDS,
        )
        self.call = asyncio.create_task(cancel_runs(ADMIN, tenant_id=lab.tenant_id))

    async def reach(self, seconds: float) -> None:
        """Let time pass until so long after the call."""
        while self._clock.monotonic() < self._begin + seconds and not self.call.done():
            await self._clock.advance(0.25)
            await asyncio.sleep(0.005)

    async def answer(self) -> int:
        """Let time pass until it answers."""
        while not self.call.done():
            await self.reach(self._clock.monotonic() - self._begin + 1)
        return self.call.result()


async def status_of(lab: Lab, started: Started) -> RunStatus:
    """Where the run stands now."""
    return (await lab.execution(started.pipeline_logging_id)).run.state.status


async def listed(lab: Lab, tenant_id: str, count: int) -> None:
    """Return once the engine lists so many active runs."""
    async with asyncio.timeout(10):
        while len(await lab.engine.active(tenant_id)) != count:  # noqa: ASYNC110 - the engine says when it says
            await asyncio.sleep(0.01)


async def test_every_active_run_has_ended_as_cancelled_and_is_recorded_when_the_call_answers(lab: Lab) -> None:
    lab.warehouse.held["load_stage_1"].clear()
    async with lab.worker():
        runs = [await lab.start(plan(lab.tenant_id, region=region)) for region in ("eu", "us", "asia")]
        assert await Cancellation(lab).answer() == 3
        assert {await status_of(lab, run) for run in runs} == {RunStatus.CANCELLED}
    assert [row["status"] for row in lab.warehouse.records("pipeline_runs")] == ["CANCELLED"] * 3


async def test_a_run_that_another_replica_starts_within_the_bound_is_cancelled_too(lab: Lab) -> None:
    lab.warehouse.held["load_stage_1"].clear()
    async with lab.worker():
        cancellation = Cancellation(lab)
        await cancellation.reach(SETTLE_SECONDS - 5)
        late = await lab.start(plan(lab.tenant_id))
        await listed(lab, lab.tenant_id, 1)
        assert await cancellation.answer() == 1
        assert await status_of(lab, late) is RunStatus.CANCELLED


async def test_without_runs_it_answers_only_when_no_replica_can_start_one_any_more(lab: Lab) -> None:
    cancellation = Cancellation(lab)
    await cancellation.reach(SETTLE_SECONDS - 1)
    assert not cancellation.call.done()
    assert await cancellation.answer() == 0


async def test_a_run_is_waited_for_as_long_as_it_takes(lab: Lab) -> None:
    started = await lab.start(plan(lab.tenant_id))  # no worker
    await listed(lab, lab.tenant_id, 1)
    cancellation = Cancellation(lab)
    await cancellation.reach(3 * SETTLE_SECONDS)
    assert not cancellation.call.done()
    async with lab.worker():
        assert await cancellation.answer() == 1
    assert await status_of(lab, started) is RunStatus.CANCELLED


async def test_a_tenant_whose_id_differs_in_one_character_keeps_its_runs(lab: Lab) -> None:
    own, other = f"{lab.tenant_id}_x", f"{lab.tenant_id}ax"  # to a LIKE, `_` is any character
    lab.warehouse.held["load_stage_1"].clear()
    lab.warehouse.selects["select load"] = []
    others: list[Started] = []
    async with lab.worker():
        for tenant_id in (own, other, f"{own}_y"):
            lab.tenant_id = tenant_id
            others.append(await lab.start(plan(tenant_id)))
            await listed(lab, tenant_id, 1)
        lab.tenant_id = own
        assert await Cancellation(lab).answer() == 1
        statuses = []
        for tenant_id, started in zip((own, other, f"{own}_y"), others, strict=True):
            lab.tenant_id = tenant_id
            statuses.append(await status_of(lab, started))
        assert statuses == [RunStatus.CANCELLED, RunStatus.RUNNING, RunStatus.RUNNING]
        lab.warehouse.held["load_stage_1"].set()
        for started in others[1:]:
            lab.tenant_id = started.pipeline_id.partition("-")[0]
            assert (await lab.end_of(started)).state.status is RunStatus.COMPLETE


async def test_a_run_whose_end_cannot_be_recorded_any_more_ends_all_the_same(lab: Lab) -> None:
    gone = Terminal("A table or dataset that the statement names does not exist")
    lab.warehouse.failures |= {"begin_1": gone, "end_1": gone, "load_log1_1": gone}
    lab.warehouse.held["load_stage_1"].clear()
    async with lab.worker():
        started = await lab.start(plan(lab.tenant_id))
        await lab.warehouse.began["load_stage_1"].wait()
        assert await Cancellation(lab).answer() == 1
        assert await status_of(lab, started) is RunStatus.CANCELLED
    assert lab.warehouse.records("pipeline_runs") == []


@pytest.mark.parametrize(("state", "remembered"), [("suspended", True), ("deleting", False), ("deleted", False)])
async def test_requests_are_forgotten_of_a_tenant_that_is_deleted_and_of_no_other(
    lab: Lab, state: str, remembered: bool
) -> None:
    lab.tenants.state = state  # type: ignore[assignment]
    request_id, the_plan = str(uuid.uuid4()), plan(lab.tenant_id)
    keys = [request_key(tenant_id, request_id) for tenant_id in (lab.tenant_id, f"{lab.tenant_id}x")]
    async with lab.worker():
        for key in keys:
            await lab.requests.start(key, DIGEST, lab.workflow_id(the_plan), the_plan)
        await Cancellation(lab).answer()
        assert [await lab.ledger.find(key) is not None for key in keys] == [remembered, True]


async def test_a_tenant_in_use_is_refused_also_where_it_was_resumed_meanwhile(lab: Lab) -> None:
    cancellation = Cancellation(lab)
    await cancellation.reach(1)
    lab.tenants.problem = TenantInUse()
    with pytest.raises(TenantInUse):
        await cancellation.answer()
    started = await lab.start(plan(lab.tenant_id))  # no worker
    await listed(lab, lab.tenant_id, 1)
    with pytest.raises(TenantInUse):
        await Cancellation(lab).answer()
    assert await status_of(lab, started) is RunStatus.PENDING


async def test_cancelling_a_run_that_has_ended_is_no_error(lab: Lab) -> None:
    async with lab.worker():
        started = await lab.start(plan(lab.tenant_id, query_step(lab.tenant_id)))
        await lab.end_of(started)
        execution = await lab.execution(started.pipeline_logging_id)
        await lab.engine.cancel(execution.active_run)
        assert await status_of(lab, started) is RunStatus.COMPLETE


async def test_a_malformed_tenant_id_is_refused(lab: Lab) -> None:
    lab.tenant_id = "AB"
    with pytest.raises(InvalidInput):
        await Cancellation(lab).answer()


async def test_an_engine_that_is_away_gives_unavailable(lab: Lab, unreachable: TemporalEngine) -> None:
    refusals = await asyncio.gather(
        unreachable.active(lab.tenant_id),
        unreachable.cancel(ActiveRun("run/acme/0", "")),
        return_exceptions=True,
    )
    assert [type(refusal) for refusal in refusals] == [Unavailable] * 2
