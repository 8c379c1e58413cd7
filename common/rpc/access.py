"""Who may call which method, read from the protos at start-up. Closed by default."""

from collections.abc import Iterable
from dataclasses import dataclass

from google.protobuf import descriptor_pool

from common.api_keys.scopes import SCOPES
from common.errors import AdminOnly, ScopeMissing
from common.rpc.caller import Caller
from convergence.options.v1 import options_pb2

OPEN_SERVICES = frozenset({"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"})
"""Services of libraries that need no key."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call one method: an admin always, a tenant's key with `scope`; None leaves the admin alone."""

    scope: str | None

    def check(self, caller: Caller) -> None:
        """Raise AdminOnly or ScopeMissing unless the caller may call the method."""
        if caller.is_admin:
            return
        if self.scope is None:
            raise AdminOnly
        if self.scope not in caller.scopes:
            raise ScopeMissing(self.scope)


def service_of(method: str) -> str:
    """The full service name of a full method name, `/package.Service/Method`."""
    return method.removeprefix("/").partition("/")[0]


def is_open(method: str) -> bool:
    """Whether a method, by its full name, belongs to one of OPEN_SERVICES."""
    return service_of(method) in OPEN_SERVICES


def streams_of(service_names: Iterable[str]) -> frozenset[str]:
    """The methods of these services with more than one message in either direction, by full method name."""
    services = [descriptor_pool.Default().FindServiceByName(name) for name in service_names]
    return frozenset(
        f"/{service.full_name}/{method.name}"
        for service in services
        for method in service.methods
        if method.client_streaming or method.server_streaming
    )


def access_rules(service_names: Iterable[str]) -> dict[str, Access]:
    """The rule of every method of these services, by full method name (`/package.Service/Method`).

    Raises ValueError for a method without the option `convergence.options.v1.access`, or with a scope that does not exist: such a
    server must not start.
    """
    rules = {}
    for service_name in service_names:
        service = descriptor_pool.Default().FindServiceByName(service_name)
        for method in service.methods:
            access = method.GetOptions().Extensions[options_pb2.access]
            match access.WhichOneof("caller"):
                case "admin_only" if access.admin_only:
                    scope = None
                case "scope" if access.scope in SCOPES:
                    scope = access.scope
                case _:
                    raise ValueError(
                        f"{method.full_name}: the option convergence.options.v1.access does not say who may call it"
                    )
            rules[f"/{service.full_name}/{method.name}"] = Access(scope)
    return rules
