"""A warehouse that holds some jobs back until a test lets them go: what waits for them lasts as long as the test wants."""

import asyncio

from common.warehouse.warehouse import Job, Warehouse
from tests.passing_on import PassingOn


class HeldWarehouse(PassingOn):
    """Holds jobs with `part` in their id, by default what steps stage; all else passes at once. Starts open."""

    def __init__(self, warehouse: Warehouse, part: str = "_stage_") -> None:
        super().__init__(warehouse)
        self._part = part
        self._open = asyncio.Event()
        self._open.set()
        self.waiting = asyncio.Event()
        """Set once a job waits."""
        self.arrivals = asyncio.Semaphore(0)
        """Released by each job that waits since `hold`."""

    def hold(self) -> None:
        """Hold jobs back from now on."""
        self._open.clear()
        self.waiting.clear()
        self.arrivals = asyncio.Semaphore(0)

    def release(self) -> None:
        """Let all go on."""
        self._open.set()

    async def submit(self, job: Job) -> None:
        """Start a job, in its time."""
        if self._part in job.job_id and not self._open.is_set():
            self.waiting.set()
            self.arrivals.release()
            await self._open.wait()
        await self.warehouse.submit(job)
