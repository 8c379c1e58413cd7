"""The bytes that a tenant may bill on one day (UTC), as its gate reckons them from what the runs say. No time, no engine."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date

from pipeline_service.budget import UNLIMITED, Budget, ReservationRequest
from pipeline_service.budget_messages import DayUse, Funding, Reservation, RunUse, UsageReport


class DayBudget:
    """Runs tell all that they have used and reserved, each time anew, so that hearing something twice, or another gate hearing it, changes
    nothing. What is reserved stays so beyond midnight, and what was billed of it counts on the day on which that is told."""

    def __init__(self, limit: int | None, today: date, before: DayUse | None = None) -> None:
        """`before` is what the gate before this one knew."""
        self._day = today.isoformat()
        self._runs: dict[str, RunUse] = {}
        self._unheard: set[tuple[str, str]] = set()
        self._budget = Budget(UNLIMITED)
        self.limit = limit
        if before is not None:
            self._take_over(before)

    @property
    def limit(self) -> int | None:
        """Bytes for a day; None for no limit."""
        return None if self._budget.limit == UNLIMITED else self._budget.limit

    @limit.setter
    def limit(self, limit: int | None) -> None:
        self._budget.limit = UNLIMITED if limit is None else limit

    @property
    def is_in_use(self) -> bool:
        """Whether there is anything to remember."""
        return bool(self._runs or self._budget.used)

    @property
    def waits(self) -> bool:
        """Whether a reservation waits for others to be settled."""
        return bool(self._budget.waiting)

    def begin(self, today: date) -> None:
        """Let a new day begin, where it is one: nothing is used of it yet, and what is reserved stays so."""
        if today.isoformat() <= self._day:
            return
        self._day = today.isoformat()
        self._budget.used = 0
        self._runs = {run_id: replace(run, used=0) for run_id, run in self._runs.items()}

    def recall(self, used: int) -> None:
        """Count what was billed on the day before anybody kept count."""
        self._budget.used += used

    def tell(self, account: UsageReport) -> None:
        """Take in what a run says. What it does not mention any more is settled, or not wanted."""
        self.begin(date.fromisoformat(account.day))
        run = self._runs.get(account.engine_run_id)
        if run is not None and run.version >= account.version:
            return
        used = account.used if account.day == self._day else 0
        self._budget.used += used - (run.used if run else 0)
        known = {reservation.key: reservation for reservation in run.reservations} if run else {}
        kept = tuple(_newer(reservation, known.get(reservation.key)) for reservation in account.reservations)
        self._unheard |= {
            (account.engine_run_id, r.key) for r, told in zip(kept, account.reservations, strict=True) if r != told
        }
        for key in known.keys() - {reservation.key for reservation in kept}:
            self._budget.drop(_key(account.engine_run_id, key))
        self._runs[account.engine_run_id] = RunUse(
            account.workflow_id, account.engine_run_id, account.version, used, kept
        )
        self._enter(account.engine_run_id, kept)

    def close(self, engine_run_id: str) -> None:
        """Forget a run that has ended. One that was ended by hand tells nobody what its steps have billed: all that they had reserved."""
        run = self._runs.pop(engine_run_id, None)
        if run is None:
            return
        for reservation in run.reservations:
            key = _key(engine_run_id, reservation.key)
            self._budget.settle(key, self._budget.held.get(key, 0))

    def keep(self, engine_run_ids: Iterable[str]) -> None:
        """Close the account of every other run."""
        for ended in self._runs.keys() - set(engine_run_ids):
            self.close(ended)

    def next(self) -> list[tuple[RunUse, Funding]]:
        """Decide on the reservations that can be decided on: whom to tell what. Who is granted one holds it from now on."""
        answers = [*self._repeated()]
        for decision in self._budget.next():
            engine_run_id, key = decision.key.split(" ", 1)
            run = self._runs[engine_run_id]
            answers.append((run, Funding(key, decision.bytes, decision.left, self._budget.limit)))
            decided = tuple(_decided(run.reservations, key, decision.bytes))
            self._runs[engine_run_id] = replace(run, reservations=decided)
        return answers

    def use(self) -> DayUse:
        """All of it, as the next gate needs it."""
        used = self._budget.used - sum(run.used for run in self._runs.values())
        return DayUse(self._day, self._budget.limit, used, tuple(self._runs.values()))

    def _repeated(self) -> Iterator[tuple[RunUse, Funding]]:
        """What was granted to runs that ask for it still."""
        unheard, self._unheard = sorted(self._unheard), set()
        for engine_run_id, key in unheard:
            run = self._runs.get(engine_run_id)
            for held in run.reservations if run else ():
                if run and held.key == key:
                    yield run, Funding(key, held.bytes, self._budget.unused, self._budget.limit)

    def _take_over(self, before: DayUse) -> None:
        is_today = before.day == self._day
        for run in before.runs:
            self._runs[run.engine_run_id] = run if is_today else replace(run, used=0)
            self._enter(run.engine_run_id, run.reservations)
        self._budget.used = before.used + sum(run.used for run in before.runs) if is_today else 0

    def _enter(self, engine_run_id: str, reservations: tuple[Reservation, ...]) -> None:
        for reservation in reservations:
            key = _key(engine_run_id, reservation.key)
            if reservation.holds:
                self._budget.hold(key, reservation.bytes)
            else:
                self._budget.want(ReservationRequest(key, reservation.bytes, reservation.takes_all, reservation.most))


def _key(engine_run_id: str, key: str) -> str:
    return f"{engine_run_id} {key}"


def _newer(told: Reservation, known: Reservation | None) -> Reservation:
    """What a run says of a reservation, but that it still asks for what it was just granted: it has not heard of that yet."""
    return known if known is not None and known.holds and not told.holds else told


def _decided(reservations: tuple[Reservation, ...], key: str, granted: int | None) -> Iterator[Reservation]:
    for reservation in reservations:
        if reservation.key != key:
            yield reservation
        elif granted is not None:
            yield replace(reservation, bytes=granted, holds=True)
