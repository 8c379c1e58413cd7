"""How long an attempt waits for what is away, by a clock that does not move by itself, and what that leaves of a run."""

import pytest

from common.errors import JobAborted, Terminal, Transient, Unavailable
from pipeline_service.run import RunStatus
from pipeline_service.step_result import AttemptRecord, RunRef
from pipeline_service.steps.outage import LONGEST_PAUSE_SECONDS, PATIENCE_SECONDS, Outage
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.plans import check, plan, query_step


class WaitingClock:
    """Time passes by waiting alone."""

    def __init__(self) -> None:
        self.waited: list[float] = []

    def now(self) -> None:
        raise AssertionError("an outage is measured, not dated")

    def monotonic(self) -> float:
        return sum(self.waited)

    async def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)


@pytest.mark.parametrize("error", [Transient("away"), Unavailable("away")])
async def test_what_is_away_is_waited_for_in_growing_pauses_until_the_patience_ends(error: Exception) -> None:
    clock = WaitingClock()
    outage = Outage(clock)  # type: ignore[arg-type]
    while await outage.waited_out(error):
        assert len(clock.waited) < 1000
    assert PATIENCE_SECONDS - LONGEST_PAUSE_SECONDS <= sum(clock.waited) <= PATIENCE_SECONDS
    assert 2 * clock.waited[0] < LONGEST_PAUSE_SECONDS / 2 <= clock.waited[-1] <= LONGEST_PAUSE_SECONDS


@pytest.mark.parametrize(
    "error",
    [JobAborted("lost"), Transient("a quota is used up", lasts=True), Terminal("refused"), KeyError("unforeseen")],
)
async def test_a_job_that_failed_and_what_does_not_pass_soon_are_not_waited_for(error: Exception) -> None:
    clock = WaitingClock()
    assert not await Outage(clock).waited_out(error)  # type: ignore[arg-type]
    assert clock.waited == []


async def test_an_outage_before_a_step_costs_it_no_attempt(lab: Lab) -> None:
    lab.tenants.problem = Unavailable("The warehouse is away")
    asked = 0

    async def require_ready(tenant_id: str) -> None:
        nonlocal asked
        asked += 1
        if asked > 3:
            lab.tenants.problem = None
        elif lab.tenants.problem is not None:
            raise lab.tenants.problem

    lab.tenants.require_ready = require_ready  # type: ignore[method-assign]
    async with lab.worker():
        run = await lab.run(plan(lab.tenant_id))
    assert (run.state.status, run.state.steps[0].attempts) == (RunStatus.COMPLETE, 1)
    assert [row["status"] for row in lab.warehouse.records("step_logs")] == ["COMPLETE"]
    assert asked == 4


async def test_a_success_that_is_recorded_is_neither_done_nor_measured_nor_recorded_again(lab: Lab) -> None:
    outcomes = iter([True])  # A second measurement would fail.
    lab.warehouse.measures["measure once"] = lambda _: {
        "passed": next(outcomes),
        "failing_rows": 0,
        "observed": "1",
        "expected": "1",
    }
    add_attempt, answers_lost = lab.records.add_attempt, iter([True])

    async def add_and_lose_the_answer(run: RunRef, record: AttemptRecord, *, tries: int = 1) -> None:
        await add_attempt(run, record, tries=tries)
        if next(answers_lost, False):
            raise Transient("away")

    lab.records.add_attempt = add_and_lose_the_answer  # type: ignore[method-assign]
    async with lab.worker():
        run = await lab.run(plan(lab.tenant_id, query_step(lab.tenant_id, checks=(check("once"),))))
    [step] = run.state.steps
    assert (run.state.status, step.attempts, step.rows_staged, step.rows_written) == (RunStatus.COMPLETE, 1, 1, 1)
    assert (step.checks[0].observed, step.price_per_tib_usd) == ("1", "6.25")
    assert step.publish_job_id == f"{run.pipeline_logging_id}_load_publish_1"
    assert [row["status"] for row in lab.warehouse.records("step_logs")] == ["COMPLETE"]
    assert len(lab.warehouse.records("dq_results")) == 1
    assert len(lab.warehouse.effects) == len(set(lab.warehouse.effects))
