"""One attempt at a step: its names in the warehouse, and what it has done so far."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta

from common.clock import Clock
from common.templates.tables import STAGE_PREFIX
from common.warehouse.attempts import run_once
from common.warehouse.warehouse import Job, JobResult, Row, Statement, TableRef, Warehouse
from pipeline_service.plan import PlanStep
from pipeline_service.price import Price
from pipeline_service.run import CheckOutcome
from pipeline_service.step_result import Billed, RunRef, StepResult, WantedBytes
from pipeline_service.steps.funds import Funds, Taken

STAGE, PUBLISH = "stage", "publish"
"""Effects of a step: one job each, tried again under the next number."""
STAGE_LIFETIME = timedelta(hours=24)


def stage_table(tenant_id: str, pipeline_logging_id: str, step_id: str) -> TableRef:
    """Where a step of a run stages its rows. Dropped when the run ends; expires by itself."""
    return TableRef(tenant_id, f"{STAGE_PREFIX}{pipeline_logging_id.replace('-', '')}_{step_id}")


def job_id(pipeline_logging_id: str, step_id: str, effect: str, number: int) -> str:
    """The id of the job that tries an effect of a step for the `number`th time."""
    return f"{pipeline_logging_id}_{step_id}_{effect}_{number}"


class NoLongerWanted(Exception):
    """The run was cancelled before this attempt has begun to publish."""


async def _wanted() -> bool:
    return True


class Attempt:
    """The attempt with this `number`, from 1, at a step that was first scheduled at `schedule_time`.

    `leaves_jobs` tells a cancelled attempt whether its job goes on, for the next attempt to attach to. `price` is what is billed for bytes
    now. `is_wanted` asks whether the run is still to go on. `repeated` says that the attempt begins again, under its number. `funds` are
    what it may bill, None where the run has no budget, and `billed_before` what it read for before it had to ask for more.
    """

    def __init__(
        self,
        run: RunRef,
        step: PlanStep,
        *,
        number: int,
        schedule_time: datetime,
        leaves_jobs: Callable[[], bool],
        price: Price,
        is_wanted: Callable[[], Awaitable[bool]] = _wanted,
        repeated: bool = False,
        funds: Funds | None = None,
        billed_before: int = 0,
    ) -> None:
        self.run = run
        self.step = step
        self.number = number
        self.price = price
        self.follows_another = repeated or number > 1
        """Whether something of the step may have been done and recorded before."""
        self.funds = funds
        self.run_create_time = run.create_time or schedule_time
        self.stage_expire_time = schedule_time + STAGE_LIFETIME
        self.rows_staged = 0
        self.rows_written = 0
        self.bytes_processed = 0
        self.bytes_billed = billed_before
        self.stage_job_id: str | None = None
        self.publish_job_id: str | None = None
        self.checks: tuple[CheckOutcome, ...] = ()
        self.has_recorded_beside = False
        """Whether it is known that what was to be recorded beside this attempt's work is."""
        self._leaves_jobs = leaves_jobs
        self._is_wanted = is_wanted

    @property
    def stage(self) -> TableRef:
        """Where the step stages its rows."""
        return stage_table(self.run.tenant_id, self.run.pipeline_logging_id, self.step.step_id)

    @property
    def labels(self) -> dict[str, str]:
        """Labels of the attempt's jobs."""
        return {"convergence_tenant": self.run.tenant_id, "convergence_run": self.run.pipeline_logging_id}

    def job_id(self, effect: str, number: int) -> str:
        """The id of the job that tries an effect of this step (STAGE, PUBLISH) for the `number`th time."""
        return job_id(self.run.pipeline_logging_id, self.step.step_id, effect, number)

    @property
    def cap(self) -> int | None:
        """What one statement of the step may bill by its template."""
        return self.step.query.max_bytes_billed if self.step.query else None

    async def require_wanted(self) -> None:
        """The last look before the step publishes: from then on what is published is seen through. Raises NoLongerWanted."""
        if not await self._is_wanted():
            raise NoLongerWanted

    async def run_job(
        self,
        warehouse: Warehouse,
        job_for: Callable[[int], Job],
        taken: Taken,
        *,
        deadline_seconds: float,
        clock: Clock,
    ) -> JobResult:
        """Run a job of the step once, whichever attempts at the step have tried, and note what it has billed, also where it was cut off.
        Raises what `run_once` raises.

        The nth attempt at a step takes up to n tries, so that one aborted job costs one attempt.
        """

        def cut_off(billed: int | None) -> None:
            taken.settle(billed)
            self.bytes_billed += billed or 0

        result = await run_once(
            warehouse,
            job_for,
            deadline_seconds=deadline_seconds,
            max_attempts=self.number,
            clock=clock,
            leaves_job=self._leaves_jobs,
            cut_off=cut_off,
        )
        taken.settle(result.bytes_billed)
        self.bytes_processed += result.bytes_processed
        self.bytes_billed += result.bytes_billed
        return result

    async def read(self, warehouse: Warehouse, statement: Statement, *, max_rows: int) -> list[Row]:
        """The first rows of a SELECT of the step. Raises what the warehouse raises."""
        async with self._reading(statement) as taken:
            stream = await warehouse.read(
                statement,
                page_size=max_rows,
                max_bytes_billed=taken.most,
                labels=self.labels,
                timeout_seconds=self.step.timeout_seconds,
            )
            taken.billed = stream.bytes_billed
        try:
            rows: list[Row] = []
            async for page in stream:
                rows += page
                if len(rows) >= max_rows:
                    break
            self.bytes_processed += stream.bytes_processed
            self.bytes_billed += stream.bytes_billed
            return rows[:max_rows]
        finally:
            await stream.close()

    @asynccontextmanager
    async def funded(
        self, effect: str, bound: Callable[[], Awaitable[WantedBytes]], *, cap: int | None
    ) -> AsyncIterator[Taken]:
        """Run a job within, billing at most what it may, and say what it has billed. Its own `cap` counts without a budget, too; `bound`
        reckons what it may want. Raises MoreBytesWanted and what `bound` raises."""
        if self.funds is None:
            yield Taken(cap)
        else:
            most = await self.funds.for_job(effect, bound)
            async with self.funds.job(effect, most, cap) as taken:
                yield taken

    async def fund_reads(self, warehouse: Warehouse, statements: Iterable[Statement]) -> None:
        """Let all these statements be read. Raises MoreBytesWanted, Transient, Terminal."""
        if self.funds is not None:
            await self.funds.for_reads(warehouse, statements, self.cap)

    @asynccontextmanager
    async def _reading(self, statement: Statement) -> AsyncIterator[Taken]:
        if self.funds is None:
            yield Taken(self.cap)
        else:
            async with self.funds.reading(statement, self.cap) as taken:
                yield taken

    def billed(self) -> Billed:
        """What it has billed of its funds."""
        return Billed(self.funds.billed, tuple(sorted(self.funds.unsure))) if self.funds else Billed()

    def result(self, wanted: Mapping[str, WantedBytes] | None = None) -> StepResult:
        """What the step has done so far, and what it wants to bill more."""
        return StepResult(
            self.number,
            self.rows_staged,
            self.rows_written,
            self.bytes_processed,
            self.bytes_billed,
            self.checks,
            self.stage_job_id or "",
            self.publish_job_id or "",
            f"{self.price.per_tib_usd:f}",
            self.billed(),
            wanted or {},
        ).with_beside(is_written=self.has_recorded_beside)

    @property
    def target(self) -> TableRef:
        """The table that the step publishes or checks."""
        table = self.step.published.destination if self.step.published else self.step.checked
        assert table is not None  # noqa: S101 - a plan's step has one or the other
        return TableRef.parse(table.table)


def day_of(text: str | None) -> date | None:
    """A day of the plan, YYYY-MM-DD."""
    return date.fromisoformat(text) if text else None
