"""Runs a gRPC server: interceptors, health, reflection, and a clean end. What it serves is for the service to say."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress

import grpc
import structlog
from grpc_health.v1.health import SERVICE_NAME as HEALTH_SERVICE
from grpc_reflection.v1alpha import reflection

from common.clock import Clock
from common.rpc.access import OPEN_SERVICES, access_rules, service_of, streams_of
from common.rpc.auth_interceptor import Authenticator
from common.rpc.health import Health
from common.rpc.interceptors import interceptors
from common.rpc.settings import ConnectionSettings, ServerSettings
from common.rpc.tls import server_credentials
from common.rpc.under_way import CallsUnderWay
from common.telemetry.telemetry import Telemetry

_PROBE_SECONDS = 15.0
_FIRST_PROBE_SECONDS = 0.2
_MAX_PENDING_CALLS = 10_000
"""Calls that gRPC holds until the loop takes them up: beyond 1,000, its default, it would cancel them without a word why."""
_CLIENT_PING_SECONDS = 10
_LAST_WORDS_SECONDS = 0.5
"""How long before the end of the grace period calls that are not done are ended, so that they still hear why."""

_log = structlog.get_logger(__name__)

Probe = Callable[[], Awaitable[object]]
"""Asks a dependency for a sign of life. Raises when there is none."""


class Server:
    """One gRPC server of ours. Start it, then wait for its end, or stop it."""

    def __init__(
        self,
        settings: ServerSettings,
        *,
        services: Mapping[str, Callable[[grpc.aio.Server], None]],
        authenticator: Authenticator,
        dependencies: Mapping[str, Probe],
        beside: AbstractAsyncContextManager[None],
        clock: Clock,
        watches: Collection[str] = (),
        endings: Sequence[Callable[[], None]] = (),
        telemetry: Telemetry | None = None,
    ) -> None:
        """`services` are those of ours, by the proto's full name, each with what registers it: none for a process that only works.
        `beside` is what goes on from the server's start to its end. `watches` are the full names of methods whose calls wait more than they
        work. `endings` are called once no new calls are taken, to begin the end of what would otherwise go on for ever. Every call
        is told to `telemetry`.

        Raises ValueError for a method that does not say who may call it, and for TLS files that do not do.
        """
        self._settings = settings
        self._credentials = server_credentials(settings)
        self._own_names: Sequence[str] = ("", *services)
        self._dependencies = dependencies
        self._endings = endings
        self._under_way = CallsUnderWay()
        # Kept for as long as the server lives: a collected server closes its port without a word.
        self._server = grpc.aio.server(
            options=_channel_arguments(settings),
            interceptors=interceptors(
                settings,
                authenticator=authenticator,
                rules=access_rules(services),
                watches=watches,
                streams=streams_of(services),
                clock=clock,
                under_way=self._under_way,
                telemetry=telemetry,
            ),
        )
        for register in services.values():
            register(self._server)
        self._health = Health(self._under_way)
        self._health.add_to(self._server)
        if settings.reflection:
            names = (*services, HEALTH_SERVICE, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)
        self.port = 0
        """The port that the server listens on, once it has started."""
        self._probing: asyncio.Task[None] | None = None
        self._beside = beside
        self._exit = AsyncExitStack()

    async def start(self) -> None:
        """Listen. Health says SERVING once every dependency has answered. Raises OSError when the address cannot be had."""
        try:
            self.port = self._add_port(self._settings.listen_address)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {self._settings.listen_address}") from error
        await self._health.tell(self._own_names, serving=False)
        await self._server.start()
        await self._exit.enter_async_context(self._beside)
        _log.info("listening", address=self._settings.listen_address, port=self.port, services=self._own_names[1:])
        self._probing = asyncio.create_task(self._probe_for_ever())

    def _add_port(self, address: str) -> int:
        if self._credentials is None:
            return self._server.add_insecure_port(address)
        return self._server.add_secure_port(address, self._credentials)

    async def stop(self) -> None:
        """Say NOT_SERVING; after the delay take no new calls, and let those under way finish within the grace period.

        Calls that would not end by themselves are ended at once, and what is not done by the end of the grace period then, all with
        Unavailable.
        """
        if self._probing is not None:
            self._probing.cancel()
            with suppress(asyncio.CancelledError):
                await self._probing
        await self._health.shut_down()
        await asyncio.sleep(self._settings.shutdown_delay_seconds)
        grace_seconds = self._settings.shutdown_grace_seconds
        stopping = asyncio.create_task(self._server.stop(grace_seconds))
        await asyncio.sleep(0)  # let it begin: who is ended now must not come back to this server
        self._under_way.end_for_good(lambda method: service_of(method) in OPEN_SERVICES)
        for begin_to_end in self._endings:
            begin_to_end()
        await asyncio.wait({stopping}, timeout=max(0.0, grace_seconds - _LAST_WORDS_SECONDS))
        self._under_way.end_for_good()
        await stopping
        await self._exit.aclose()

    async def _probe_for_ever(self) -> None:
        """Dependencies gate only the first SERVING; later they show under names of their own, `dependency.NAME`."""
        served = False
        while True:
            alive = await asyncio.gather(*(self._alive(name, probe) for name, probe in self._dependencies.items()))
            if not served and all(alive):
                served = True
                await self._health.tell(self._own_names, serving=True)
                _log.info("serving", services=self._own_names[1:])
            await asyncio.sleep(_PROBE_SECONDS if served else _FIRST_PROBE_SECONDS)

    async def _alive(self, name: str, probe: Probe) -> bool:
        try:
            await probe()
        except Exception as error:  # noqa: BLE001 - whatever a probe raises, the next one is made
            _log.warning("dependency is away", dependency=name, exc_info=error)
            await self._health.tell([f"dependency.{name}"], serving=False)
            return False
        await self._health.tell([f"dependency.{name}"], serving=True)
        return True


def _channel_arguments(settings: ConnectionSettings) -> list[tuple[str, int]]:
    """https://grpc.github.io/grpc/core/group__grpc__arg__keys.html"""
    return [
        ("grpc.so_reuseport", 0),  # a port in use is an error, not a share of somebody's calls
        ("grpc.server.max_pending_requests", _MAX_PENDING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", _MAX_PENDING_CALLS),
        # What is not much too large is read, so that it can be refused with details.
        ("grpc.max_receive_message_length", 2 * settings.max_request_bytes),
        ("grpc.max_send_message_length", settings.max_response_bytes),
        ("grpc.keepalive_time_ms", _milliseconds(settings.keepalive_seconds)),
        ("grpc.keepalive_timeout_ms", _milliseconds(settings.keepalive_timeout_seconds)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _milliseconds(_CLIENT_PING_SECONDS)),
        ("grpc.max_connection_age_ms", _milliseconds(settings.max_connection_age_seconds)),
        ("grpc.max_connection_age_grace_ms", _milliseconds(settings.max_connection_age_grace_seconds)),
    ]


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
