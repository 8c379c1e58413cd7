"""A warehouse as a replica sees it whose fate is sealed: at a named moment of a job the process ends itself by kill -9."""

import asyncio
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common.warehouse.warehouse import Job, JobResult, Warehouse
from tests.passing_on import PassingOn

Moment = Literal["submitting", "submitted", "ended"]
"""Before a job is submitted; once the warehouse has it; once its end is known, and nobody has been told."""

PAUSE_SECONDS = 0.02


@dataclass(frozen=True)
class Fate:
    """What is to happen to one of the replicas that share it: whichever comes to the `count`th of these moments first dies, and no other.

    `part` is in the id of the job; `moment` None is any. `claim` is a file that must not exist yet. Every job with `slow_part` in its id
    begins `slow_seconds` later, and not before the file `slow_until` exists.
    """

    claim: Path | None = None
    moment: Moment | None = None
    part: str = ""
    count: int = 1
    slow_part: str = "_stage_"
    slow_seconds: float = 0.0
    slow_until: Path | None = None


class FatefulWarehouse(PassingOn):
    """Passes everything on."""

    def __init__(self, warehouse: Warehouse, fate: Fate) -> None:
        super().__init__(warehouse)
        self._fate = fate
        self._seen = 0

    async def submit(self, job: Job) -> None:
        """Start a job."""
        self._come_to("submitting", job.job_id)
        if self._fate.slow_part in job.job_id:
            await self._dawdle()
        await self.warehouse.submit(job)
        self._come_to("submitted", job.job_id)

    async def wait(self, job_id: str, *, timeout_seconds: float) -> JobResult:
        """Wait for a job."""
        result = await self.warehouse.wait(job_id, timeout_seconds=timeout_seconds)
        self._come_to("ended", job_id)
        return result

    async def _dawdle(self) -> None:
        await asyncio.sleep(self._fate.slow_seconds)
        while self._fate.slow_until is not None and not self._fate.slow_until.exists():  # noqa: ASYNC110
            await asyncio.sleep(PAUSE_SECONDS)

    def _come_to(self, moment: Moment, job_id: str) -> None:
        fate = self._fate
        if fate.claim is None or fate.part not in job_id or (fate.moment or moment) != moment:
            return
        self._seen += 1
        if self._seen == fate.count:
            try:
                fate.claim.touch(exist_ok=False)
            except FileExistsError:
                return
            fate.claim.write_text(f"{moment} {job_id}")
            os.kill(os.getpid(), signal.SIGKILL)
