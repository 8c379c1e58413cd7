"""All that goes around every call of a server, and in which order: ADR 0025."""

from collections.abc import Collection, Mapping, Sequence

import grpc

from common.clock import Clock
from common.rpc.access import Access
from common.rpc.around import AroundCalls
from common.rpc.auth_interceptor import Authenticator, authenticated
from common.rpc.error_interceptor import errors_to_statuses
from common.rpc.limits_interceptor import CallLimits
from common.rpc.log_interceptor import logged
from common.rpc.messages import Messages
from common.rpc.settings import ServerSettings
from common.rpc.telemetry_interceptor import of_unknown_methods, traced_and_measured
from common.rpc.under_way import CallsUnderWay
from common.telemetry.telemetry import Telemetry


def interceptors(
    settings: ServerSettings,
    *,
    authenticator: Authenticator,
    rules: Mapping[str, Access],
    watches: Collection[str],
    streams: Collection[str],
    clock: Clock,
    under_way: CallsUnderWay,
    telemetry: Telemetry | None,
) -> Sequence[grpc.aio.ServerInterceptor]:
    """One with all layers of one server. `rules` are those of all its methods, by full method name; calls of `watches` among them
    wait more than they work, those of `streams` may last. `under_way` notes every call, and `telemetry` is told of it."""
    limits = CallLimits(settings, clock, watches=watches, streams=streams)
    messages = Messages(max_request_bytes=settings.max_request_bytes, max_response_bytes=settings.max_response_bytes)
    telemetry_layers = () if telemetry is None else (traced_and_measured(telemetry),)
    layers = (
        errors_to_statuses,
        *telemetry_layers,
        logged,
        under_way.noted,
        limits.admitted,
        authenticated(authenticator, rules, max_waiting=settings.max_calls_awaiting_keys),
        limits.at_work,
    )
    around_unknown = (errors_to_statuses, *map(of_unknown_methods, telemetry_layers), logged)
    return [AroundCalls(layers, around_unknown=around_unknown, messages=messages)]
