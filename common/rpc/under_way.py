"""The calls that are under way, so that a server that stops can end those it does not wait for, and say why."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from common.errors import Unavailable
from common.rpc.around import Context


class CallsUnderWay:
    """`around` goes around every call."""

    def __init__(self) -> None:
        self._methods: dict[asyncio.Task[object], str] = {}
        self._ended: set[asyncio.Task[object]] = set()

    @asynccontextmanager
    async def around(self, method: str, context: Context) -> AsyncIterator[None]:  # noqa: ARG002
        """Note the call while it is under way. Raises Unavailable out of one that is ended."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a call is handled in a task of its own")
        self._methods[task] = method
        try:
            yield
        except asyncio.CancelledError:
            if task not in self._ended:
                raise
            task.uncancel()
            raise Unavailable("The server is stopping; the call may be repeated") from None
        finally:
            del self._methods[task]
            self._ended.discard(task)

    def end(self, chosen: Callable[[str], bool] = lambda _: True) -> None:
        """End the calls under way whose method is chosen."""
        for task, method in self._methods.items():
            if chosen(method):
                self._ended.add(task)
                task.cancel()
