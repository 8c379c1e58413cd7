"""One look a second at a tenant's queue, however many of its waiting runs are watched here."""

import asyncio
from dataclasses import dataclass

from pipeline_service.engine import Queue, RunEngine

LOOK_SECONDS = 1.0


@dataclass(slots=True)
class _Look:
    """A look to come, and how many wait for it."""

    queue: asyncio.Task[Queue]
    waiting: int = 0


class QueueLooks:
    """Queues of tenants, each looked at while somebody asks."""

    def __init__(self, engine: RunEngine) -> None:
        self._engine = engine
        self._coming: dict[str, _Look] = {}

    async def next(self, tenant_id: str) -> Queue:
        """The tenant's queue at the next look, within LOOK_SECONDS, which all who ask meanwhile share. Raises Unavailable."""
        look = self._coming.get(tenant_id)
        if look is None:
            look = self._coming[tenant_id] = _Look(asyncio.create_task(self._look(tenant_id)))
            # Nobody may be left to hear of its failure.
            look.queue.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        look.waiting += 1
        try:
            return await asyncio.shield(look.queue)
        finally:
            look.waiting -= 1
            if not look.waiting:  # most runs wait for less than a second
                look.queue.cancel()
                if self._coming.get(tenant_id) is look:
                    del self._coming[tenant_id]

    async def _look(self, tenant_id: str) -> Queue:
        await asyncio.sleep(LOOK_SECONDS)
        del self._coming[tenant_id]
        return await self._engine.queue(tenant_id)
