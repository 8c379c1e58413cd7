"""Running a step's checks over `checked`, the rows that are staged or published. They are decided once: a later attempt at the step
finds their outcomes recorded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from common.clock import Clock
from common.for_each import map_each
from common.templates.checks import SAMPLE_ROWS
from common.templates.resolved import CREATE_TIME, LAST_ROWS
from common.templates.tables import CHECKED
from common.warehouse.warehouse import Row, Statement, Value, Warehouse
from pipeline_service.plan import PlanCheck, PlanStatement
from pipeline_service.records import CheckRecord, Records
from pipeline_service.run import CheckOutcome
from pipeline_service.step_errors import StepFailed
from pipeline_service.steps.attempt import Attempt

_AT_ONCE = 16


class Checks:
    """Measures a step's checks, records them with a sample of the rows that broke them, and fails the step if one blocks it."""

    def __init__(self, warehouse: Warehouse, records: Records, clock: Clock) -> None:
        self._warehouse = warehouse
        self._records = records
        self._clock = clock

    async def run(self, attempt: Attempt, checked: str) -> None:
        """Check the rows of the SELECT `checked`. Raises StepFailed (CHECK_FAILED), MoreBytesWanted and what the warehouse raises.

        An attempt after the first may follow one that died once its checks were recorded, even published: those outcomes stand,
        though the source may have changed since.
        """
        if not attempt.step.checks:
            return
        attempt.checks = await self._records.check_outcomes(attempt) if attempt.follows_another else ()
        if not attempt.checks:
            decided = await self._decide(attempt, f"WITH {CHECKED} AS ({checked}) ")
            # The record of an attempt that died may have come through just now, in place of this one's.
            recorded = await self._records.check_outcomes(attempt) if attempt.follows_another else ()
            attempt.checks = recorded or decided
        blocking = [outcome.name for outcome in attempt.checks if outcome.blocks]
        if blocking:
            raise StepFailed("CHECK_FAILED", f"Checks failed: {', '.join(blocking)}")

    async def _decide(self, attempt: Attempt, prefix: str) -> tuple[CheckOutcome, ...]:
        values = await self._run_values(attempt)
        bound = [_bound(check, prefix, values) for check in attempt.step.checks]
        await attempt.fund_reads(self._warehouse, chain.from_iterable(statements.all() for statements in bound))

        async def decide(each: tuple[PlanCheck, _Bound]) -> CheckRecord:
            return await self._check(attempt, *each)

        records = await map_each(zip(attempt.step.checks, bound, strict=True), decide, at_once=_AT_ONCE)
        await self._records.add_checks(attempt, records)
        return tuple(record.outcome for record in records)

    async def _run_values(self, attempt: Attempt) -> Mapping[str, Value]:
        """What checks compare with that no template knows, the same for every attempt whose checks are decided."""
        wanted = {name for check in attempt.step.checks for name in check.run_values}
        values: dict[str, Value] = {CREATE_TIME: attempt.run_create_time}
        if LAST_ROWS in wanted:
            values[LAST_ROWS] = await self._records.last_rows(attempt)
        return values

    async def _check(self, attempt: Attempt, check: PlanCheck, bound: "_Bound") -> CheckRecord:
        [measured] = await attempt.read(self._warehouse, bound.measure, max_rows=1)
        outcome = CheckOutcome(
            check.name,
            check.type,
            check.severity,
            passed=bool(measured["passed"]),
            failing_rows=int(str(measured["failing_rows"] or 0)),
            observed=str(measured["observed"] or ""),
            expected=str(measured["expected"] or ""),
        )
        sample: Sequence[Row] = ()
        if not outcome.passed and bound.sample is not None:
            sample = await attempt.read(self._warehouse, bound.sample, max_rows=SAMPLE_ROWS)
        return CheckRecord(outcome, sample, self._clock.now())


@dataclass(frozen=True, slots=True)
class _Bound:
    """The statements of a check with all their values."""

    measure: Statement
    sample: Statement | None

    def all(self) -> tuple[Statement, ...]:
        return (self.measure, self.sample) if self.sample else (self.measure,)


def _bound(check: PlanCheck, prefix: str, values: Mapping[str, Value]) -> _Bound:
    def statement(select: PlanStatement) -> Statement:
        unbound = select.statement(prefix)
        given = (replace(p, value=values[p.name]) if p.name in check.run_values else p for p in unbound.parameters)
        return replace(unbound, parameters=tuple(given))

    return _Bound(statement(check.measure), statement(check.sample) if check.sample else None)
