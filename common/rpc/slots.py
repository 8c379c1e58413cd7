"""How many calls may do something at once. Who comes when all places are taken is refused: a queue would only grow."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

from common.errors import Overloaded

_RETRY_SECONDS = (0.5, 1.5)
"""Spread, so that those who are refused together do not come back together."""


def overloaded() -> Overloaded:
    """The refusal."""
    return Overloaded(retry_delay_seconds=random.uniform(*_RETRY_SECONDS))  # noqa: S311 - spreads load, guards nothing


class Slots:
    """So many places. For one event loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0

    @property
    def full(self) -> bool:
        """Whether all are taken."""
        return self._taken >= self._limit

    @contextmanager
    def place(self) -> Iterator[None]:
        """Have a place meanwhile. Raises Overloaded at once where there is none."""
        if self.full:
            raise overloaded()
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
