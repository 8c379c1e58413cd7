"""The calls that are under way, so that a server that stops can end those it does not wait for, and say why."""

import asyncio
from collections.abc import Callable

from common.errors import Unavailable
from common.rpc.around import Call, Handle

_STOPPING = "The server is stopping; the call may be repeated"


class CallsUnderWay:
    """`noted` is the layer that goes around every call."""

    def __init__(self) -> None:
        self._methods: dict[asyncio.Task[object], str] = {}
        self._ended: set[asyncio.Task[object]] = set()
        self._is_refused: Callable[[str], bool] = lambda _: False

    def noted(self, method: str, inner: Handle) -> Handle:
        """Note calls while they are under way. Raises Unavailable out of one that is ended or refused."""

        async def handle(call: Call) -> bytes | None:
            task = asyncio.current_task()
            if task is None:
                raise RuntimeError("a call is handled in a task of its own")
            if self._is_refused(method):
                raise Unavailable(_STOPPING)
            self._methods[task] = method
            try:
                return await inner(call)
            except asyncio.CancelledError:
                if task not in self._ended:
                    raise
                task.uncancel()
                raise Unavailable(_STOPPING) from None
            finally:
                del self._methods[task]
                self._ended.discard(task)

        return handle

    def end_for_good(self, chosen: Callable[[str], bool] = lambda _: True) -> None:
        """End the calls under way whose method is chosen, and such as have been accepted but are not under way yet, when they are."""
        self._is_refused = chosen
        self.end(chosen)

    def end(self, chosen: Callable[[str], bool]) -> None:
        """End the calls under way whose method is chosen. They may come back."""
        for task, method in self._methods.items():
            if chosen(method):
                self._ended.add(task)
                task.cancel()
