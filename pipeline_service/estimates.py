"""What a step would read if it ran now, and what that costs."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from common.errors import ObjectNotFound, Terminal
from common.for_each import map_each
from common.templates.tables import CHECKED
from common.warehouse.estimate import MINIMUM_BILLED_BYTES, Estimate, EstimateBasis
from common.warehouse.warehouse import Statement, Warehouse
from pipeline_service.plan import PlanStep
from pipeline_service.price import Price
from pipeline_service.steps.dq import published_rows

Basis = EstimateBasis | Literal["not_billed", "unknown"]
_AT_ONCE = 8
_MISSING = "A table that it reads does not exist yet"


@dataclass(frozen=True, slots=True)
class Cost:
    """Bytes that are read, those that are billed, and what these cost in USD."""

    bytes_processed: int
    bytes_billed: int
    usd: Decimal


@dataclass(frozen=True, slots=True)
class StepEstimate:
    """What a step would cost by the basis, `not_billed` where it runs no query; where nothing is known `cost` is None and
    `unknown_because` says why."""

    basis: Basis
    cost: Cost | None
    unknown_because: str = ""


@dataclass(frozen=True, slots=True)
class _Read:
    """A statement, and how many tables it reads. One that does not count is only asked about because it must compile."""

    statement: Statement
    tables: int
    counts: bool = True


class Estimates:
    """Asks the warehouse, for a bounded number of statements at once."""

    def __init__(self, warehouse: Warehouse, price: Price) -> None:
        self.price = price
        self._warehouse = warehouse

    async def of(self, steps: Sequence[PlanStep]) -> list[StepEstimate]:
        """Estimate steps: each one's query or, of a dq step, its checks, and its condition. Loading files is free. Raises Transient.

        Checks of a query or load step read what it stages, which nobody knows before, but for those of a view, which stages nothing. A
        query that runs as a tenant's account is not asked about: only the step itself decrypts its key, and asking as the service would
        say what another account may read.
        """
        slots = asyncio.Semaphore(_AT_ONCE)
        return await map_each(steps, lambda step: self._step(step, slots), at_once=_AT_ONCE)

    def total(self, estimates: Sequence[StepEstimate]) -> Cost:
        """The costs that are known, together."""
        known = [estimate.cost for estimate in estimates if estimate.cost]
        return self._cost(sum(c.bytes_processed for c in known), sum(c.bytes_billed for c in known))

    async def _step(self, step: PlanStep, slots: asyncio.Semaphore) -> StepEstimate:
        if step.query is not None and step.query.credential is not None:
            return StepEstimate("unknown", None, "The query runs as an account of the tenant's")
        try:
            reads = await self._reads(step)
            estimates = await map_each(reads, lambda read: self._estimate(read, slots), at_once=_AT_ONCE)
        except ObjectNotFound:
            return StepEstimate("unknown", None, _MISSING)
        except Terminal as error:
            return StepEstimate("unknown", None, error.message)
        processed = billed = 0
        for read, estimate in zip(reads, estimates, strict=True):
            if estimate.bytes_processed is None:
                return StepEstimate("unknown", None, _MISSING)
            if not read.counts:
                continue
            processed += estimate.bytes_processed
            billed += max(estimate.bytes_processed, read.tables * MINIMUM_BILLED_BYTES)
        return StepEstimate(_basis_of_all(estimates), self._cost(processed, billed))

    async def _reads(self, step: PlanStep) -> list[_Read]:
        reads = [_Read(step.when.statement(), len(step.when.tables))] if step.when else []
        if step.query is not None:
            select, is_view = step.query.select, step.query.write == "view"
            reads.append(_Read(select.statement(), len(select.tables), counts=not is_view))
            if (newest := step.query.newest_source_row) is not None:
                reads.append(_Read(newest.statement(), len(newest.tables)))
            if is_view:
                reads += _checks(step, select.sql, len(select.tables))
        if step.checked is not None:
            reads += _checks(step, await published_rows(self._warehouse, step.checked), 1)
        return reads

    async def _estimate(self, read: _Read, slots: asyncio.Semaphore) -> Estimate:
        async with slots:
            return await self._warehouse.estimate(read.statement)

    def _cost(self, processed: int, billed: int) -> Cost:
        return Cost(processed, billed, self.price.of(billed))


def _checks(step: PlanStep, rows: str, tables: int) -> list[_Read]:
    """What the checks of the rows of a SELECT read, which reads so many tables itself."""
    prefix = f"WITH {CHECKED} AS ({rows}) "
    measures = [check.measure for check in step.checks]
    return [_Read(measure.statement(prefix), tables + len(measure.tables)) for measure in measures]


def _basis_of_all(estimates: Sequence[Estimate]) -> Basis:
    """The basis of a sum: a bound, where all that is not exact is bounded from the same side."""
    bases = {estimate.basis for estimate in estimates}
    inexact = bases - {"dry_run"}
    if not bases:
        return "not_billed"
    if len(inexact) > 1:
        return "dry_run_unsure"
    return next(iter(inexact or bases))
