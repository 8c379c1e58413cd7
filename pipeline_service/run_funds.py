"""A run's side of its budgets: its own, kept here, and its tenant's day, which the gate keeps. Runs inside the run's workflow."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from pipeline_service.budget import UNLIMITED, Budget, ReservationRequest
    from pipeline_service.budget_messages import Funding, Reservation, UsageReport
    from pipeline_service.plan import PlanBudget
    from pipeline_service.run import RunError
    from pipeline_service.run_slot import FIRST_PAUSE, LONGEST_PAUSE
    from pipeline_service.step_result import StepResult, WantedBytes


class StepOverBudget(Exception):
    """A budget has too little left; `result` is what the step has done by then."""

    def __init__(self, error: RunError, result: StepResult) -> None:
        super().__init__(error.message)
        self.error = error
        self.result = result


class RunFunds:
    """What the run's steps have reserved and billed. `tell` sends an account to the gate, one after the other."""

    def __init__(self, budget: PlanBudget, tell: Callable[[UsageReport], Awaitable[None]]) -> None:
        self._own = Budget(UNLIMITED if budget.max_bytes is None else budget.max_bytes)
        self._asks_gate = budget.of_day
        self._tell = tell
        self._decided: dict[str, int | None] = {}
        self._asked: dict[str, Reservation] = {}
        self._answers: dict[str, Funding] = {}
        self._held_of_day: dict[str, int] = {}
        self._day, self._used_on_day = "", 0
        self._version = self._told_version = 0
        self._wishes = 0
        self._is_closed = False
        self._telling: asyncio.Task[None] | None = None

    def answer(self, funding: Funding) -> None:
        """The gate has decided on a reservation."""
        if funding.key in self._asked:
            self._answers[funding.key] = funding

    async def reserve(self, step_id: str, result: StepResult) -> Mapping[str, int]:
        """Reserve what an attempt at a step wants, by purpose, all or none: what each may bill. Waits while others may bill less than they
        have reserved. Raises StepOverBudget, CancelledError; nothing is reserved then."""
        wanted = result.wanted
        self._wishes += 1
        # Of its own, so that the gate, which hears of several changes at once, cannot take it for one that it has granted before.
        key = f"{step_id} wants {' '.join(sorted(wanted))} {self._wishes}"
        least, takes_all = sum(one.least for one in wanted.values()), any(one.is_open for one in wanted.values())
        try:
            granted = await self._from_own(ReservationRequest(key, least, takes_all))
            if self._asks_gate:
                granted = await self._from_day(Reservation(key, least, takes_all, most=granted))
            shares = _shared(wanted, granted)
            for purpose, share in shares.items():
                self._own.hold(_key(step_id, purpose), share)
                self._held_of_day[_key(step_id, purpose)] = share
            self._drop(key)
            self._decide()  # the gate, which has granted them together, hears with the next account for what each is
            return shares
        except _Refused as refused:
            self._drop(key)
            self._changed()
            raise StepOverBudget(RunError("BUDGET_EXCEEDED", str(refused), step_id), result) from None
        except asyncio.CancelledError:
            self._drop(key)
            self._changed()
            raise

    def settle(self, step_id: str, purpose: str, bytes_billed: int) -> None:
        """Count what was billed in place of what was reserved."""
        self._own.settle(_key(step_id, purpose), bytes_billed)
        self._held_of_day.pop(_key(step_id, purpose), None)
        today = workflow.now().date().isoformat()
        if today != self._day:
            self._day, self._used_on_day = today, 0
        self._used_on_day += bytes_billed
        self._changed()

    async def report(self) -> None:
        """Tell a gate that asks what the run has used and reserved; nothing once the run has left it, which would count twice."""
        if self._version and not self._is_closed:
            self._changed()
            await self._told()

    async def close(self) -> None:
        """Return once the gate has been told everything. It is told nothing any more."""
        await self._told()
        self._is_closed = True

    async def _told(self) -> None:
        while self._telling is not None and not self._telling.done():
            with suppress(asyncio.CancelledError):
                await asyncio.shield(self._telling)

    async def _from_own(self, wish: ReservationRequest) -> int:
        self._own.want(wish)
        self._decide()
        await workflow.wait_condition(lambda: wish.key in self._decided)
        granted = self._decided[wish.key]
        if granted is None:
            raise _Refused(wish.least, self._own.unused, self._own.limit, "that the run may bill")
        return granted

    async def _from_day(self, reservation: Reservation) -> int:
        key, pause = reservation.key, FIRST_PAUSE
        self._asked[key] = reservation
        while key not in self._answers:
            self._changed()
            with suppress(asyncio.TimeoutError):
                await workflow.wait_condition(lambda: key in self._answers, timeout=pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        answer = self._answers[key]
        if answer.bytes is None:
            raise _Refused(reservation.bytes, answer.left, answer.limit, "that the tenant may bill on a day")
        return answer.bytes

    def _drop(self, key: str) -> None:
        """Forget what was asked for under a key; the gate hears of that with the next account."""
        self._own.drop(key)
        self._decided.pop(key, None)
        self._asked.pop(key, None)
        self._answers.pop(key, None)

    def _changed(self) -> None:
        """Decide on what waits here, and tell the gate."""
        self._decide()
        if self._asks_gate:
            self._version += 1
            if self._telling is None or self._telling.done():
                self._telling = asyncio.create_task(self._tell_all())

    def _decide(self) -> None:
        for decision in self._own.next():
            self._decided[decision.key] = decision.bytes

    async def _tell_all(self) -> None:
        """Tell the gate until it knows the latest. What changes meanwhile goes with the next message."""
        while self._told_version < self._version:
            version = self._version
            await self._tell(self._account())
            self._told_version = version

    def _account(self) -> UsageReport:
        info = workflow.info()
        held = [Reservation(key, held, holds=True) for key, held in self._held_of_day.items()]
        day = self._day or workflow.now().date().isoformat()
        return UsageReport(
            info.workflow_id, info.run_id, self._version, day, self._used_on_day, (*held, *self._asked.values())
        )


def _key(step_id: str, purpose: str) -> str:
    return f"{step_id} {purpose}"


def _shared(wanted: Mapping[str, WantedBytes], granted: int) -> dict[str, int]:
    """What each purpose gets: its least, and, where its need is open, an even share of the rest."""
    rest = granted - sum(one.least for one in wanted.values())
    open_ones = [purpose for purpose, one in wanted.items() if one.is_open]
    return {
        purpose: one.least + (rest // len(open_ones) if one.is_open else 0) for purpose, one in sorted(wanted.items())
    }


class _Refused(Exception):
    def __init__(self, wanted: int, left: int, limit: int, whose: str) -> None:
        super().__init__(f"The step may bill {wanted} bytes more; {left} are left of the {limit} {whose}")
