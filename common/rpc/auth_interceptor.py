"""Authenticates every call and checks that its key may call the method. Tenant match is for the use case, after the fields."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from common.errors import Unauthenticated
from common.rpc.access import Access, is_open
from common.rpc.around import Call, Handle, Layer
from common.rpc.caller import Caller, set_current_caller
from common.rpc.metadata import metadata_value
from common.rpc.slots import Slots, overloaded

API_KEY_METADATA_KEY = "x-api-key"


class Authenticator(Protocol):
    """Tells who holds a key."""

    async def authenticate(self, api_key: str, scope: str | None) -> Caller:
        """The holder of `api_key`, for a call that needs `scope` (None for one that is not for tenants). Whether the caller has it is
        for the interceptor to check. Raises Unauthenticated, Unavailable."""
        ...


def authenticated(authenticator: Authenticator, rules: Mapping[str, Access], *, max_waiting: int) -> Layer:
    """A layer that sets the current caller, or refuses: no key and a bad key alike, then a missing scope.

    A method without a rule is refused, unless it belongs to one of OPEN_SERVICES. While `max_waiting` calls wait for their holders to be
    found, one whose holder is not known at once is refused with Overloaded.
    """
    waiting = Slots(max_waiting)

    async def holder(api_key: str, scope: str | None) -> Caller:
        if not waiting.full:
            with waiting.place():
                return await authenticator.authenticate(api_key, scope)
        try:
            async with asyncio.timeout(0):  # cancels what waits, and only that
                return await authenticator.authenticate(api_key, scope)
        except TimeoutError as error:
            raise overloaded() from error

    def around(method: str, inner: Handle) -> Handle:
        rule = rules.get(method)
        if rule is None:
            return inner if is_open(method) else _refuse

        async def handle(call: Call) -> bytes | None:
            api_key = metadata_value(call, API_KEY_METADATA_KEY)
            if api_key is None:
                raise Unauthenticated
            caller = await holder(api_key, rule.scope)
            set_current_caller(caller)
            rule.check(caller)
            return await inner(call)

        return handle

    return around


async def _refuse(call: Call) -> None:  # noqa: ARG001
    raise Unauthenticated
