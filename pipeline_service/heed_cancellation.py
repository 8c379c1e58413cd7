"""A step of a run that was told to stop begins nothing more.

An activity that ends by itself before it hears of the cancellation ends as if there were none, and the engine tells nobody twice. Runs
inside the run's workflow.
"""

import asyncio

from pipeline_service.patches import HEEDS_CANCELLATION, is_patched


def is_being_cancelled() -> bool:
    """Whether the task that asks was told to stop, by CancelRun or by its run's timeout."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def heed_cancellation() -> None:
    """To be asked before the next activity of a step. Raises CancelledError where its task was told to stop."""
    if is_being_cancelled() and is_patched(HEEDS_CANCELLATION):
        raise asyncio.CancelledError
