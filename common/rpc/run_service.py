"""Runs a service from its settings to its end: what the `__main__` of both services does."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import structlog

from common import logs
from common.rpc.server import Server
from common.rpc.settings import ServerSettings
from common.settings import load

AnyServerSettings = TypeVar("AnyServerSettings", bound=ServerSettings)

_log = structlog.get_logger(__name__)


def run_service(
    settings_class: type[AnyServerSettings],
    open_server: Callable[[AnyServerSettings], AbstractAsyncContextManager[Server]],
    **given: Any,
) -> None:
    """Read the settings, wire the server and serve until SIGTERM or SIGINT, also where the parent had those ignored. What is `given` goes
    before the environment.

    Ends the process with status 1 and one sentence where it cannot start: settings, an address in use, configs that do not load.
    """
    settings = load(settings_class, **given)
    logs.configure(output=settings.log_format, level=settings.log_level)
    try:
        asyncio.run(_serve(open_server(settings)))
    except (OSError, ValueError) as error:
        raise SystemExit(f"The service cannot start: {error}") from error


async def _serve(opening: AbstractAsyncContextManager[Server]) -> None:
    signalled = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled.set)
    async with opening as server:
        await server.start()
        await signalled.wait()
        _log.info("stopping")
        await server.stop()
