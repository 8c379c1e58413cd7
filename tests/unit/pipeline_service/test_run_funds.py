"""A run's side of its budgets without an engine: what its gate hears, however slowly, and when."""

import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest

from pipeline_service.budget_messages import Funding, UsageReport
from pipeline_service.day_budget import DayBudget
from pipeline_service.plan import PlanBudget
from pipeline_service.run_funds import RunFunds, StepOverBudget
from pipeline_service.step_result import StepResult, WantedBytes

NOW = datetime(2025, 11, 15, 12, tzinfo=UTC)
LIMIT = 100
PATIENCE_SECONDS = 30.0


async def _wait_condition(condition: Callable[[], bool], *, timeout: timedelta | None = None) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - as the engine does: asked again after everything that happens
            await asyncio.sleep(0)


class Gate:
    """A run's gate, which hears of what has changed only while it is open."""

    def __init__(self) -> None:
        self.day = DayBudget(LIMIT, date(2025, 11, 15))
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.answers_at_once = True
        self._answers: list[Funding] = []
        self.funds = RunFunds(PlanBudget(None, of_day=True), self._hear)

    def answer(self) -> None:
        """Deliver what was decided."""
        while self._answers:
            self.funds.answer(self._answers.pop(0))

    async def _hear(self, account: UsageReport) -> None:
        await self.is_open.wait()
        self.day.tell(account)
        self._answers += [funding for _, funding in self.day.next()]
        if self.answers_at_once:
            self.answer()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    engine = SimpleNamespace(
        now=lambda: NOW,
        info=lambda: SimpleNamespace(workflow_id="run/t/1", run_id="one"),
        wait_condition=_wait_condition,
    )
    monkeypatch.setattr("pipeline_service.run_funds.workflow", engine)
    return Gate()


def wants(least: int) -> StepResult:
    return StepResult(wanted={"reads": WantedBytes(least)})


async def settled() -> None:
    """Let everything happen that can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_wish_is_decided_by_its_own_size_though_the_gate_hears_of_it_with_the_end_of_one_like_it(
    gate: Gate,
) -> None:
    gate.answers_at_once = False
    first = asyncio.create_task(gate.funds.reserve("load", wants(10)))
    await settled()
    gate.is_open.clear()
    gate.funds.settle("other", "stage", 1)
    await (
        settled()
    )  # an account is under way that still asks for what is granted by now: what follows goes with the next
    gate.answer()
    assert await first == {"reads": 10}
    gate.funds.settle("load", "reads", 10)
    gate.answers_at_once = True
    again = asyncio.create_task(gate.funds.reserve("load", wants(LIMIT)))
    await settled()
    gate.is_open.set()
    with pytest.raises(StepOverBudget):
        await again
    await gate.funds.close()
    assert (gate.day.use().billed, gate.day.use().reserved) == (11, 0)


async def test_a_run_that_has_left_its_gate_is_not_counted_again_when_a_new_one_asks(gate: Gate) -> None:
    await gate.funds.reserve("load", wants(10))
    gate.funds.settle("load", "reads", 10)
    await gate.funds.report()
    await gate.funds.close()
    gate.day.close("one")
    await gate.funds.report()
    assert gate.day.use().billed == 10
