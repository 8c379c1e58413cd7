"""A server of ours with nothing behind it but health and, where a test brings some, handlers of its own."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import grpc

from common.clock import Clock, SystemClock
from common.errors import Unauthenticated
from common.rpc.caller import Caller
from common.rpc.server import Server
from common.rpc.settings import ServerSettings
from common.telemetry.telemetry import Telemetry

Register = Callable[[grpc.aio.Server], None]


class OneKey:
    """Lets an admin in whose key is `good`, and tenants whose keys are `tenant/number`."""

    async def authenticate(self, api_key: str, scope: str | None) -> Caller:
        if api_key == "good":
            return Caller("admin:1", None)
        tenant_id, found, number = api_key.partition("/")
        if not found:
            raise Unauthenticated
        return Caller(f"key_{number}", tenant_id, frozenset({scope} if scope else ()))


@asynccontextmanager
async def bare_server(
    services: Mapping[str, Register] | None = None,
    *,
    authenticator: Any = None,
    clock: Clock | None = None,
    watches: Collection[str] = (),
    telemetry: Telemetry | None = None,
    **options: Any,
) -> AsyncIterator[Server]:
    """Start a server with these settings over the defaults, on a free port; stop it."""
    values: dict[str, Any] = {"listen_address": "127.0.0.1:0", "shutdown_grace_seconds": 0.0, **options}
    settings = ServerSettings(_env_file=None, **values)
    server = Server(
        settings,
        services=services or {},
        authenticator=authenticator or OneKey(),
        dependencies={},
        beside=nullcontext(),
        clock=clock or SystemClock(),
        watches=watches,
        telemetry=telemetry,
    )
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
