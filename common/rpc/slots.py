"""How many calls may do something at once. Who comes when all places are taken is refused: a queue would only grow."""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from common.errors import Overloaded

_RETRY_SECONDS = (0.5, 1.5)
"""Spread, so that those who are refused together do not come back together."""


def overloaded(message: str | None = None, **metadata: str) -> Overloaded:
    """The refusal."""
    delay = random.uniform(*_RETRY_SECONDS)  # noqa: S311 - spreads load, guards nothing
    return Overloaded(message, retry_delay_seconds=delay, metadata=metadata)


class Slots:
    """So many places, and of these so many for any one tenant. For one event loop."""

    def __init__(self, limit: int, *, limit_per_tenant: int | None = None) -> None:
        self._limit = limit
        self._limit_per_tenant = limit if limit_per_tenant is None else limit_per_tenant
        self._taken = 0
        self._taken_by: Counter[str] = Counter()

    @property
    def full(self) -> bool:
        """Whether all are taken."""
        return self._taken >= self._limit

    @contextmanager
    def place(self, tenant_id: str | None = None) -> Iterator[None]:
        """Have a place meanwhile, by None one that is no tenant's. Raises Overloaded at once where there is none."""
        if self.full:
            raise overloaded()
        if tenant_id is not None and self._taken_by[tenant_id] >= self._limit_per_tenant:
            raise overloaded("The tenant has as many calls at work as one tenant may", limit="tenant")
        self._taken += 1
        if tenant_id is not None:
            self._taken_by[tenant_id] += 1
        try:
            yield
        finally:
            self._taken -= 1
            if tenant_id is not None:
                self._taken_by[tenant_id] -= 1
                if not self._taken_by[tenant_id]:
                    del self._taken_by[tenant_id]  # memory follows the tenants that have calls, not all there ever were
