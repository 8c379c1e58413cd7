"""A warehouse that takes some jobs and refuses others."""

from common.errors import ConvergenceError
from common.warehouse.warehouse import Job, Warehouse
from tests.clock import FakeClock
from tests.passing_on import PassingOn


class RefusingWarehouse(PassingOn):
    """Takes no job with `part` in its id. With a `clock` it takes half a minute to say so: longer than anybody tries again."""

    def __init__(
        self, warehouse: Warehouse, part: str, error: ConvergenceError, *, clock: FakeClock | None = None
    ) -> None:
        super().__init__(warehouse)
        self._part = part
        self._error = error
        self._clock = clock

    async def submit(self, job: Job) -> None:
        if self._part not in job.job_id:
            await self.warehouse.submit(job)
            return
        if self._clock is not None:
            await self._clock.advance(31)
        raise self._error
