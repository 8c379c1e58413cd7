"""Runs within budgets, on a real engine, whose steps may each bill as much as the others."""

import asyncio
from collections import Counter
from dataclasses import replace

from common.warehouse.estimate import MINIMUM_BILLED_BYTES as LEAST
from common.warehouse.estimate import Estimate
from pipeline_service.budget_messages import DayUse
from pipeline_service.budgets import BudgetLimits
from pipeline_service.engine import Started
from pipeline_service.gate_messages import Limits
from pipeline_service.plan import Plan
from pipeline_service.run import Run
from pipeline_service.temporal_names import gate_id
from tests.temporal import forget
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.fake_warehouse import DAY
from tests.unit.pipeline_service.plans import check, plan, query_step, with_timeout

PATIENCE_SECONDS = 60.0
SIZE = 10 * LEAST
"""What each step of these tests may bill."""


class Spending:
    """Runs whose steps may each bill SIZE, by their dry run, under the names a, b, ..."""

    def __init__(self, lab: Lab, limits: BudgetLimits) -> None:
        self.lab = lab
        self.limits = limits

    def plan(self, *names: str, checked: bool = False) -> Plan:
        """A run of these steps, which do not wait for each other."""
        steps = [with_timeout(query_step(self.lab.tenant_id, name), 600.0) for name in names]
        for name in names:
            self.may_bill(name, SIZE)
        if checked:
            steps = [replace(step, checks=(check("ok"),)) for step in steps]
        wanted = plan(self.lab.tenant_id, *steps, steps=" ".join(names))
        header = replace(wanted.header, pipeline_id=f"{self.lab.tenant_id}-gcp-cost-{names[0]}")
        return self.limits.bounded(replace(wanted, header=header))

    def may_bill(self, name: str, size: int) -> None:
        """Have the dry run of a step say that it bills at most this."""
        self.lab.warehouse.selects[f"select {name}"] = [{"day": DAY}]
        self.lab.warehouse.estimates[f"select {name}"] = Estimate(size - LEAST, "dry_run", 1)
        self.lab.warehouse.bills[f"{name}_stage_1"] = size

    async def start(self, *names: str) -> Started:
        return await self.lab.start(self.plan(*names))

    async def end_of(self, started: Started) -> Run:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.lab.end_of(started)

    async def run(self, *names: str, checked: bool = False) -> Run:
        """Run these steps to their end."""
        return await self.end_of(await self.lab.start(self.plan(*names, checked=checked)))

    def hold(self, *names: str) -> None:
        """Have these steps last until they are let go."""
        for name in names:
            self.lab.warehouse.held[f"{name}_stage_1"].clear()

    def let_go(self, *names: str) -> None:
        for name in names:
            self.lab.warehouse.held[f"{name}_stage_1"].set()

    async def began(self, name: str) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.lab.warehouse.began[f"{name}_stage_1"].wait()

    async def use(self) -> DayUse:
        """What the gate shows of the day."""
        use = (await self.lab.gates.last(self.lab.tenant_id)).day
        assert use is not None
        return use

    async def used_is(self, billed: int, reserved: int = 0) -> None:
        """Return once the gate shows this."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self._seen() != (billed, reserved):  # noqa: ASYNC110 - the gate says when it says
                await asyncio.sleep(0.02)

    async def _seen(self) -> tuple[int, int]:
        use = (await self.lab.gates.last(self.lab.tenant_id)).day
        return (use.billed, use.reserved) if use else (0, 0)

    async def end_gate(self) -> None:
        """End the gate as an operator does by hand."""
        await self.lab.client.get_workflow_handle(gate_id(self.lab.tenant_id)).terminate()

    async def forget_gate(self) -> None:
        """Have the engine forget the gate."""
        await forget(self.lab.client, gate_id(self.lab.tenant_id))


def per_run(lab: Lab, size: int) -> Spending:
    return Spending(lab, BudgetLimits(per_run=size))


def per_day(lab: Lab, size: int, *, runs: int = 30) -> Spending:
    lab.limit(Limits(runs, runs, size))
    return Spending(lab, BudgetLimits(per_day=size))


def reasons(run: Run) -> Counter[str]:
    return Counter(step.error.reason if step.error else step.status.value for step in run.state.steps)
