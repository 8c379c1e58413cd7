"""A backfill as callers, the engine's memo and the records see it: which days of a template are to be run, and how far each has come.

Up to 1,100 days are kept as a few texts, each the days of one group: a change of a day then moves half a kilobyte and not all of them.
"""

import base64
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum

MAX_DAYS = 1100
"""Three years."""
DAYS_OF_A_GROUP = 20
_NO_RUN = "-" * 22
_WIDTH = 1 + len(_NO_RUN)
"""Of a day's text: its status, then its run's UUID in 22 letters of base64 (RFC 4648 section 5), or as many hyphens."""


class DayStatus(StrEnum):
    """Where a day of a backfill stands. Names as in `Backfill.Day.Status` of the protos."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    SKIPPED = "SKIPPED"

    @property
    def is_terminal(self) -> bool:
        """Whether the day will never change again."""
        return self not in (DayStatus.PENDING, DayStatus.RUNNING)

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to run."""
        return self in (DayStatus.COMPLETE, DayStatus.SKIPPED)


_LETTERS: Mapping[DayStatus, str] = {
    DayStatus.PENDING: "P",
    DayStatus.RUNNING: "R",
    DayStatus.COMPLETE: "C",
    DayStatus.FAILED: "F",
    DayStatus.CANCELLED: "X",
    DayStatus.SKIPPED: "S",
}
_STATUSES = {letter: status for status, letter in _LETTERS.items()}
"""The letter of a day whose run was only joined is in lower case."""


@dataclass(frozen=True, slots=True)
class Day:
    """One day, `date` as YYYY-MM-DD. `joined` says that its run was active before the backfill came to it, and is not the backfill's."""

    date: str
    status: DayStatus = DayStatus.PENDING
    pipeline_logging_id: str = ""
    joined: bool = False


@dataclass(frozen=True, slots=True)
class Backfill:
    """All days from `start_date` to `end_date`, both included; `max_parallel` of them are active at once. With `skip_complete` those are
    passed over whose last run of the same parameters is COMPLETE. `groups` are the days' texts, in order."""

    start_date: str
    end_date: str
    max_parallel: int
    skip_complete: bool
    groups: tuple[str, ...]

    @classmethod
    def of(
        cls,
        start_date: str,
        end_date: str,
        *,
        max_parallel: int,
        skip_complete: bool,
        days: Sequence[Day] = (),
    ) -> "Backfill":
        """A backfill of which nothing is done, but what `days` tell of all of its days."""
        texts = [_text(day) for day in days]
        starts = range(0, len(texts), DAYS_OF_A_GROUP)
        groups = tuple("".join(texts[start : start + DAYS_OF_A_GROUP]) for start in starts)
        return cls(start_date, end_date, max_parallel, skip_complete, groups or untouched(start_date, end_date))

    @property
    def days(self) -> list[Day]:
        """Every day, the earliest first."""
        return list(self._days())

    @property
    def counts(self) -> Mapping[DayStatus, int]:
        """How many days stand how."""
        letters = (group[start] for group in self.groups for start in range(0, len(group), _WIDTH))
        counted = Counter(_STATUSES[letter.upper()] for letter in letters)
        return {status: counted[status] for status in DayStatus}

    def day(self, text: str) -> Day:
        """The day of a date that is one of them."""
        group, start = self._place(text)
        return _day(text, self.groups[group][start : start + _WIDTH])

    def with_day(self, day: Day) -> "Backfill":
        """The same with another state of one day."""
        number, start = self._place(day.date)
        group = self.groups[number]
        changed = group[:start] + _text(day) + group[start + _WIDTH :]
        return replace(self, groups=(*self.groups[:number], changed, *self.groups[number + 1 :]))

    def to_go_on(self) -> "Backfill":
        """The backfill that does what of this one is left: days that are done stay as they are, others name the run to go on from."""
        left = [day for day in self._days() if not day.status.is_done]
        changed = self
        for day in left:
            changed = changed.with_day(replace(day, status=DayStatus.PENDING, joined=False))
        return changed

    def _days(self) -> Iterator[Day]:
        texts = (group[start : start + _WIDTH] for group in self.groups for start in range(0, len(group), _WIDTH))
        for day, text in zip(dates_between(self.start_date, self.end_date), texts, strict=True):
            yield _day(day, text)

    def _place(self, text: str) -> tuple[int, int]:
        position = (date.fromisoformat(text) - date.fromisoformat(self.start_date)).days
        group, within = divmod(position, DAYS_OF_A_GROUP)
        return group, within * _WIDTH


def dates_between(start_date: str, end_date: str) -> list[str]:
    """Every date from the first to the last, YYYY-MM-DD."""
    first = date.fromisoformat(start_date)
    count = (date.fromisoformat(end_date) - first).days + 1
    return [(first + timedelta(days=number)).isoformat() for number in range(count)]


def untouched(start_date: str, end_date: str) -> tuple[str, ...]:
    """The groups of a backfill of which nothing is done."""
    count = (date.fromisoformat(end_date) - date.fromisoformat(start_date)).days + 1
    starts = range(0, count, DAYS_OF_A_GROUP)
    return tuple(_text(Day("")) * min(DAYS_OF_A_GROUP, count - start) for start in starts)


def _text(day: Day) -> str:
    letter = _LETTERS[day.status].lower() if day.joined else _LETTERS[day.status]
    if not day.pipeline_logging_id:
        return letter + _NO_RUN
    return letter + base64.urlsafe_b64encode(uuid.UUID(day.pipeline_logging_id).bytes).decode().rstrip("=")


def _day(text: str, kept: str) -> Day:
    letter, run = kept[0], kept[1:]
    run_id = "" if run == _NO_RUN else str(uuid.UUID(bytes=base64.urlsafe_b64decode(f"{run}==")))
    return Day(text, _STATUSES[letter.upper()], run_id, joined=letter.islower())
