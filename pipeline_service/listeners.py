"""Who wants to be told of a run's end. Runs inside the run's workflow."""

from contextlib import suppress

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from pipeline_service.backfill_messages import Listener, RunEnd
    from pipeline_service.temporal_names import ENDED_SIGNAL


class Listeners:
    """One run's listeners. One that asks too late finds the run closed, and is told by that."""

    def __init__(self) -> None:
        self._untold: list[Listener] = []
        self._known: set[Listener] = set()

    def add(self, listener: Listener) -> None:
        """Somebody wants to be told; asking again changes nothing."""
        if listener not in self._known:
            self._known.add(listener)
            self._untold.append(listener)

    async def tell(self, end: RunEnd) -> None:
        """Tell everybody, those included who ask meanwhile. One that is gone needs no answer."""
        while self._untold:
            listener = self._untold.pop(0)
            told = workflow.get_external_workflow_handle(listener.workflow_id, run_id=listener.engine_run_id)
            with suppress(FailureError):
                await told.signal(ENDED_SIGNAL, end)
