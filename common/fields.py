"""Checking a request's fields: collects every violation, so that a caller learns of all of them at once."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from common.day import parse_day
from common.errors import InvalidInput, Violation
from common.ids import PATH_NAME, TEMPLATE_NAME, request_id_problem, tenant_id_problem

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

WireTime = tuple[int, int]
"""A time as callers send it: seconds since 1970, and nanoseconds of the next one. Either may be out of bounds."""
WireDuration = tuple[int, int]
"""A span of time as callers send it: seconds, and nanoseconds of the next one. Either may be out of bounds."""


class Fields:
    """The violations of one request so far."""

    def __init__(self) -> None:
        self._violations: list[Violation] = []

    def violation(self, field: str, description: str) -> None:
        """Note one violation."""
        self._violations.append(Violation(field, description))

    def check(self, field: str, value: str, problem: Callable[[str], str | None]) -> None:
        """Note what `problem` says of the value, if anything."""
        if (description := problem(value)) is not None:
            self.violation(field, description)

    def tenant_id(self, value: str) -> None:
        """Check a required tenant id."""
        self.check("tenant_id", value, tenant_id_problem)

    def request_id(self, value: str) -> None:
        """Check an optional request id."""
        self.check("request_id", value, request_id_problem)

    def pattern(self, field: str, value: str, pattern: re.Pattern[str]) -> None:
        """Check that the whole value matches."""
        if not pattern.fullmatch(value):
            self.violation(field, f"must match {pattern.pattern}")

    def template(self, provider: str, domain: str, template_name: str) -> None:
        """Check the three parts of a template's name, all required."""
        self.pattern("provider", provider, PATH_NAME)
        self.pattern("domain", domain, PATH_NAME)
        self.pattern("template_name", template_name, TEMPLATE_NAME)

    def text(self, field: str, value: str, *, max_characters: int) -> None:
        """Check a text for people, which may be left out."""
        if len(value) > max_characters or not value.isprintable():
            self.violation(field, f"must be at most {max_characters} printable characters")

    def optional_day(self, field: str, value: str) -> None:
        """Check a day, `YYYY-MM-DD`, that may be left out."""
        try:
            if value:
                parse_day(value)
        except ValueError as error:
            self.violation(field, str(error))

    def optional_days(self, start_date: str, end_date: str) -> None:
        """Check the first and last of some days, inclusive, either of which may be left out."""
        self.optional_day("start_date", start_date)
        self.optional_day("end_date", end_date)
        if start_date and end_date and end_date < start_date:
            self.violation("end_date", "must not be before start_date")

    def days(self, start_date: str, end_date: str, *, most: int) -> None:
        """Check the first and last of at most `most` days, inclusive, both required."""
        days = []
        for field, value in (("start_date", start_date), ("end_date", end_date)):
            try:
                days.append(parse_day(value))
            except ValueError as error:
                self.violation(field, str(error))
        if len(days) == 2 and not 0 <= (days[1] - days[0]).days < most:
            self.violation("end_date", f"must be at most {most - 1} days after start_date, and not before it")

    def optional_time(self, field: str, value: WireTime | None) -> datetime | None:
        """Check a time that may be left out. The time in UTC, cut to microseconds."""
        if value is None:
            return None
        seconds, nanoseconds = value
        try:
            if 0 <= nanoseconds < 1_000_000_000:
                return _EPOCH + timedelta(seconds=seconds, microseconds=nanoseconds // 1000)
        except OverflowError:
            pass
        self.violation(field, "must be a time of the years 1 to 9999")
        return None

    def optional_duration(self, field: str, value: WireDuration | None, *, longest: timedelta) -> timedelta | None:
        """Check a span of time from none to `longest`, a number of days, that may be left out. It is cut to microseconds."""
        if value is None:
            return None
        seconds, nanoseconds = value
        total_nanoseconds = seconds * 1_000_000_000 + nanoseconds
        if 0 <= nanoseconds < 1_000_000_000 and 0 <= total_nanoseconds <= longest // timedelta(microseconds=1) * 1000:
            return timedelta(seconds=seconds, microseconds=nanoseconds // 1000)
        self.violation(field, f"must be 0 to {longest.days} days")
        return None

    def require_valid(self) -> None:
        """Raise InvalidInput with every violation, if there is any."""
        if self._violations:
            raise InvalidInput(self._violations)
