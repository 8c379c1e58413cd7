"""WatchRun: a run as it is, then every change, to its end."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from common.rpc.caller import Caller
from pipeline_service.get_run import GetRun
from pipeline_service.run import Run
from pipeline_service.watches import Watches


class WatchRun:
    """The use case."""

    def __init__(self, get_run: GetRun, watches: Watches) -> None:
        self._get_run = get_run
        self._watches = watches

    async def __call__(self, caller: Caller, *, pipeline_logging_id: str, tenant_id: str) -> AsyncGenerator[Run]:
        """Yield the run at once and after every change; the last one is terminal. Raises what GetRun raises."""
        located = await self._get_run.locate(caller, pipeline_logging_id=pipeline_logging_id, tenant_id=tenant_id)
        yield located.run
        if located.run.state.status.is_terminal or located.execution is None:
            return
        latest = located.run
        async with aclosing(self._watches.changes(located.execution)) as changes:
            async for run in changes:
                moved = run.queue_position not in (0, latest.queue_position)
                if run.state.version > latest.state.version or (run.state.version == latest.state.version and moved):
                    latest = run
                    yield run
        if not latest.state.status.is_terminal:  # The engine forgot it meanwhile: its record tells.
            yield await self._get_run(caller, pipeline_logging_id=pipeline_logging_id, tenant_id=tenant_id)
