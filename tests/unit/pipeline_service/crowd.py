"""Many runs of one tenant on a real engine, which wait at its gate."""

import asyncio
from dataclasses import replace
from datetime import datetime

from pipeline_service.engine import ActiveRun, Started
from pipeline_service.get_run import GetRun
from pipeline_service.run import Run
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.fake_warehouse import DAY
from tests.unit.pipeline_service.plans import plan, query_step, with_timeout

PATIENCE_SECONDS = 30.0


class Crowd:
    """Runs of one tenant, each of a step of its own that lasts until it is let go."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._get_run = GetRun(lab.engine, lab.records)
        self.started: list[Started] = []

    async def start(self, count: int, template: str = "bill", max_active_runs: int | None = None) -> list[int]:
        """Start runs; their numbers."""
        numbers = []
        for _ in range(count):
            number, tenant = len(self.started), self._lab.tenant_id
            self._lab.warehouse.selects[f"select s{number}"] = [{"day": DAY}]
            self._lab.warehouse.held[f"s{number}_stage_1"].clear()
            wanted = plan(tenant, with_timeout(query_step(tenant, f"s{number}"), 600.0), number=str(number))
            header = replace(wanted.header, pipeline_id=f"{tenant}-gcp-cost-{template}")
            wanted = replace(wanted, header=header, max_active_runs=max_active_runs)
            self.started.append(await self._lab.start(wanted))
            numbers.append(number)
        return numbers

    async def fill(self) -> None:
        """Start as many runs of one template as may be active."""
        await self.start(self._lab.limits.per_template)
        await self.began(*range(self._lab.limits.per_template))

    def let_go(self, *numbers: int) -> None:
        """Let the steps of these runs end."""
        for number in numbers:
            self._lab.warehouse.held[f"s{number}_stage_1"].set()

    async def began(self, *numbers: int) -> None:
        """Return once the steps of these runs have begun."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            for number in numbers:
                await self._lab.warehouse.began[f"s{number}_stage_1"].wait()

    def begun(self) -> set[int]:
        """The runs whose steps have begun."""
        began = self._lab.warehouse.began
        return {number for number in range(len(self.started)) if began[f"s{number}_stage_1"].is_set()}

    async def run(self, number: int) -> Run:
        """A run as GetRun has it."""
        execution = await self._lab.execution(self.started[number].pipeline_logging_id)
        return await self._get_run.placed(execution)

    async def positions(self, *numbers: int) -> list[int]:
        """Where these runs stand in the queue."""
        return [(await self.run(number)).queue_position for number in numbers]

    async def stand_at(self, expected: dict[int, int]) -> None:
        """Return once the runs have these places."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self.positions(*expected) != list(expected.values()):  # noqa: ASYNC110 - the engine says when it says
                await asyncio.sleep(0.02)

    async def end_of(self, *numbers: int) -> list[Run]:
        """The runs once they have ended."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return [await self._lab.end_of(self.started[number]) for number in numbers]

    async def engine_run(self, number: int) -> ActiveRun:
        """The run as the engine names it."""
        execution = await self._lab.execution(self.started[number].pipeline_logging_id)
        return execution.active_run

    async def terminate(self, number: int) -> None:
        """End a run as an operator does by hand."""
        run = await self.engine_run(number)
        await self._lab.client.get_workflow_handle(run.workflow_id, run_id=run.engine_run_id).terminate()

    def most_at_once(self) -> int:
        """The most runs that were active at one moment, as their records tell."""
        rows = [row for row in self._lab.warehouse.records("pipeline_runs") if row["start_time"] and row["end_time"]]
        times: list[tuple[datetime, datetime]] = [(row["start_time"], row["end_time"]) for row in rows]
        return max(sum(begin <= moment < end for begin, end in times) for moment, _ in times)
