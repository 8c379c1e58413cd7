"""Checking a request's fields: collects every violation, so that a caller learns of all of them at once."""

from collections.abc import Callable

from common.day import parse_day
from common.errors import InvalidInput, Violation
from common.ids import request_id_problem, tenant_id_problem


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

    def optional_day(self, field: str, value: str) -> None:
        """Check a day, `YYYY-MM-DD`, that may be left out."""
        try:
            if value:
                parse_day(value)
        except ValueError as error:
            self.violation(field, str(error))

    def require_valid(self) -> None:
        """Raise InvalidInput with every violation, if there is any."""
        if self._violations:
            raise InvalidInput(self._violations)
