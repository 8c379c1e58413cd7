"""Who may call what comes from the protos, and is closed by default."""

import pytest

from common.api_keys.scopes import SCOPES
from common.errors import AdminOnly, ScopeMissing
from common.rpc.access import access_rules
from common.rpc.caller import Caller
from convergence.pipeline.v1 import pipeline_service_pb2
from convergence.tenant.v1 import tenant_service_pb2

SERVICES = [
    service.full_name
    for file in (tenant_service_pb2.DESCRIPTOR, pipeline_service_pb2.DESCRIPTOR)
    for service in file.services_by_name.values()
]


def test_every_method_of_both_services_says_who_may_call_it() -> None:
    rules = access_rules(SERVICES)
    assert len(rules) == sum(
        len(file.services_by_name[name].methods)
        for file in (tenant_service_pb2.DESCRIPTOR, pipeline_service_pb2.DESCRIPTOR)
        for name in file.services_by_name
    )


def test_a_method_that_does_not_say_who_may_call_it_keeps_the_server_from_starting() -> None:
    import grpc_health.v1.health_pb2  # noqa: F401 - brings a service that has no option of ours

    with pytest.raises(ValueError, match="does not say who may call it"):
        access_rules(["grpc.health.v1.Health"])


@pytest.mark.parametrize("method", sorted(access_rules(SERVICES)))
def test_an_admin_may_call_everything_and_a_tenant_needs_exactly_the_scope(method: str) -> None:
    rule = access_rules(SERVICES)[method]
    rule.check(Caller("admin:1", None))
    if rule.scope is None:
        with pytest.raises(AdminOnly):
            rule.check(Caller("key", "acme", SCOPES))
        return
    rule.check(Caller("key", "acme", frozenset({rule.scope})))
    with pytest.raises(ScopeMissing) as refused:
        rule.check(Caller("key", "acme", SCOPES - {rule.scope}))
    assert refused.value.metadata == {"scope": rule.scope}
