"""Where calls go, how long they may take, and which of them the gateway repeats.

A REST call has two routes: by its path at first, which tells `requests.lua` what the body may hold, then by the gRPC method that it was
turned into, which is also the route of a gRPC call.
"""

from collections.abc import Iterable
from typing import Any

from gateway.methods import Method

LONGEST_CALL_SECONDS = 300
"""A call that has not answered by then is ended. Streams may last as long as they like."""
LUA = "envoy.filters.http.lua"
NEVER_ARRIVED = "connect-failure,refused-stream"
"""No server has seen the call: any may be sent anew, to another replica."""
REPEATABLE = f"{NEVER_ARRIVED},reset,unavailable"
"""For what changes nothing. A REST call with a `request_id` is repeated likewise, see `requests.lua`."""


def routes(methods: Iterable[Method]) -> list[dict[str, Any]]:
    """All routes, in the order in which they are tried: of paths that fit both, the longer template's goes first."""
    ordered = sorted(methods, key=lambda method: -len(method.path))
    verbs: dict[str, list[str]] = {}
    for method in ordered:
        verbs.setdefault(method.exact_path_pattern, []).append(method.verb.upper())
    return [*map(_grpc_route, ordered), *map(_rest_route, ordered), *map(_route_of_other_verbs, verbs, verbs.values())]


def _grpc_route(method: Method) -> dict[str, Any]:
    limits = {"timeout": "0s", "idle_timeout": "0s"} if method.streams else {"timeout": f"{LONGEST_CALL_SECONDS}s"}
    route: dict[str, Any] = {
        "match": {"path": method.grpc_path},
        "route": {"cluster": method.server, **limits, "retry_policy": _retry_policy(method)},
    }
    return {**route, **_told(stream=True)} if method.streams else route


def _rest_route(method: Method) -> dict[str, Any]:
    verb = {"name": ":method", "string_match": {"exact": method.verb.upper()}}
    return {
        "match": {"safe_regex": {"regex": method.path_pattern}, "headers": [verb]},
        # Taken only where the transcoder does not take the call, which it always does.
        "direct_response": {"status": 404},
        **_told(request=method.request.full_name, query=f" {' '.join(method.query)} "),
    }


def _route_of_other_verbs(path_pattern: str, verbs: Iterable[str]) -> dict[str, Any]:
    """Of a path that there is, but by none of these verbs: `requests.lua` says so."""
    return {
        "match": {"safe_regex": {"regex": path_pattern}},
        "direct_response": {"status": 405},
        **_told(allow=", ".join(sorted(verbs))),
    }


def _told(**facts: Any) -> dict[str, Any]:
    return {"metadata": {"filter_metadata": {LUA: facts}}}


def _retry_policy(method: Method) -> dict[str, Any]:
    return {
        "retry_on": REPEATABLE if method.reads else NEVER_ARRIVED,
        "num_retries": 4,
        "retry_back_off": {"base_interval": "0.05s", "max_interval": "0.5s"},
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                },
            }
        ],
        "host_selection_retry_max_attempts": 3,
    }
