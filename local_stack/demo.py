"""`make demo`: a stack on throw-away state does the main job before your eyes, and stops."""

import asyncio
import signal
import time
from collections.abc import Mapping

from local_stack.demo_view import DemoView
from local_stack.errors import StackError
from local_stack.main_job import do_main_job
from local_stack.throw_away import throw_away_stack

INTERRUPTED = 130


class _NotAllSeen(Exception):
    """The main job went otherwise than it should."""


def demo(environ: Mapping[str, str], view: DemoView | None = None) -> int:
    """Show it all. Gives the exit status: 0 only if everything was seen, 1 if anything was not, 130 where a signal cut it short."""
    view = view or DemoView()
    try:
        return asyncio.run(_demo(environ, view))
    except (asyncio.CancelledError, KeyboardInterrupt):
        view.note("interrupted: the stack is stopped and its state removed")
        return INTERRUPTED


async def _demo(environ: Mapping[str, str], view: DemoView) -> int:
    task = asyncio.current_task()
    assert task  # noqa: S101  a coroutine under asyncio.run has one
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    started = time.monotonic()
    view.heading("Start the local stack on throw-away state")
    try:
        async with throw_away_stack(environ, view.note) as stack:
            missing = await do_main_job(stack, view)
            if missing:
                raise _NotAllSeen
    except StackError as error:
        view.finding(str(error), seen=False)
        return 1
    except _NotAllSeen:
        view.heading(f"Not as it should be: {len(missing)}")
        for what in missing:
            view.finding(what, seen=False)
        return 1
    view.heading(f"All seen in {time.monotonic() - started:.0f} s; the stack is stopped, its state removed")
    return 0
