"""One look a second at a tenant's queue, however many of its waiting runs are watched here."""

import asyncio

from pipeline_service.engine import Queue, RunEngine

LOOK_SECONDS = 1.0


class QueueLooks:
    """Queues of tenants, each looked at while somebody asks."""

    def __init__(self, engine: RunEngine) -> None:
        self._engine = engine
        self._coming: dict[str, asyncio.Task[Queue]] = {}

    async def next(self, tenant_id: str) -> Queue:
        """The tenant's queue at the next look, within LOOK_SECONDS, which all who ask meanwhile share. Raises Unavailable."""
        look = self._coming.get(tenant_id)
        if look is None:
            look = self._coming[tenant_id] = asyncio.create_task(self._look(tenant_id))
            # Nobody may be left to hear of its failure.
            look.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return await asyncio.shield(look)

    async def _look(self, tenant_id: str) -> Queue:
        try:
            await asyncio.sleep(LOOK_SECONDS)
        finally:
            del self._coming[tenant_id]
        return await self._engine.queue(tenant_id)
