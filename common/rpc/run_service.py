"""Runs a service from its settings to its end: what the `__main__` of both services does."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import structlog

from common import logs
from common.rpc.memory import freeze_imports, limit_malloc_arenas
from common.rpc.server import Server
from common.rpc.settings import ServerSettings
from common.settings import load

AnyServerSettings = TypeVar("AnyServerSettings", bound=ServerSettings)

CLOSING_SECONDS = 5.0
"""How long, beyond delay and grace, connections may take to close. A process that still runs by then ends itself."""
_THREADS_SECONDS = 1.0

_log = structlog.get_logger(__name__)


def run_service(
    settings_class: type[AnyServerSettings],
    open_server: Callable[[AnyServerSettings], AbstractAsyncContextManager[Server]],
    **given: Any,
) -> None:
    """Read the settings, wire the server and serve until SIGTERM or SIGINT, also where the parent had those ignored. What is `given` goes
    before the environment.

    Ends the process with status 1 and one sentence where it cannot start: settings, an address in use, configs that do not load. After a
    signal it ends with status 0, within delay, grace and CLOSING_SECONDS, whatever hangs; with status 1 where something did.
    """
    limit_malloc_arenas()
    settings = load(settings_class, **given)
    logs.configure(output=settings.log_format, level=settings.log_level)
    try:
        asyncio.run(_serve(open_server(settings), settings.shutdown_delay_seconds + settings.shutdown_grace_seconds))
    except (OSError, ValueError) as error:
        raise SystemExit(f"The service cannot start: {error}") from error
    # Everything is closed. Python would still wait for threads that wait for somebody who does not answer.
    _exit_after(_THREADS_SECONDS, status=0)


async def _serve(opening: AbstractAsyncContextManager[Server], stop_seconds: float) -> None:
    loop, serving = asyncio.get_running_loop(), asyncio.current_task()
    signalled, started = asyncio.Event(), False

    def stop() -> None:
        if signalled.is_set():
            return
        signalled.set()
        _exit_after(stop_seconds + CLOSING_SECONDS, status=1)
        if not started and serving is not None:  # it may wait for the run engine, for hours
            serving.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        async with opening as server:
            await server.start()
            started = True
            freeze_imports()
            await signalled.wait()
            _log.info("stopping")
            await server.stop()
            _log.info("stopped")
    except asyncio.CancelledError:
        if started or not signalled.is_set():
            raise


def _exit_after(seconds: float, *, status: int) -> None:
    """End the process then, unless it has ended by itself."""

    def end() -> None:
        if status:
            _log.error("the service has not stopped in time; it ends itself")
        os._exit(status)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
