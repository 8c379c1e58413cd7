"""What the gateway adds to calls: correlation ids, and another try where nothing can happen twice. What it leaves alone: gRPC."""

import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from grpc_status import rpc_status

from convergence.tenant.v1.tenant_pb2 import Tenant
from convergence.tenant.v1.tenant_service_pb2 import GetTenantRequest, ListTenantsResponse, OnboardRequest
from convergence.tenant.v1.tenant_service_pb2_grpc import TenantServiceStub
from tests.gateway.conftest import World
from tests.gateway.fakes import FakeServices, Refused
from tests.gateway.rest import Rest

TENANT = "/api/v1/tenants/acme"


@pytest.mark.parametrize("given", ["abc", "A.b_c-1", "x" * 64])
def test_a_callers_correlation_id_goes_all_the_way_and_back(world: World, given: str) -> None:
    answer = world.rest("GET", TENANT, headers={"x-correlation-id": given})
    assert answer.headers["x-correlation-id"] == given
    assert world.services.calls[0].metadata["x-correlation-id"] == given


@pytest.mark.parametrize("given", [None, "", "x" * 65, "with blank", "with/slash"])
def test_a_call_without_a_correlation_id_that_is_one_gets_one(world: World, given: str | None) -> None:
    answer = world.rest("GET", TENANT, headers={} if given is None else {"x-correlation-id": given})
    found = answer.headers["x-correlation-id"]
    assert re.fullmatch("[0-9a-f]{32}", found)
    assert world.services.calls[0].metadata["x-correlation-id"] == found


@pytest.mark.parametrize(("verb", "path"), [("GET", "/nowhere"), ("GET", f"{TENANT}?x=1"), ("POST", TENANT)])
def test_what_the_gateway_refuses_has_one_too(rest: Rest, verb: str, path: str) -> None:
    assert rest(verb, path, headers={"x-correlation-id": "abc"}).headers["x-correlation-id"] == "abc"


def test_no_answer_tells_of_grpc_or_of_what_is_behind(rest: Rest) -> None:
    for path in (TENANT, "/nowhere", f"{TENANT}?x=1", "/api/v1/pipelines/runs/1:watch"):
        named = {name for name in rest("GET", path).headers if name.startswith(("grpc", "x-envoy"))}
        assert named == set()


def test_only_headers_that_the_services_know_reach_them(world: World) -> None:
    known = {"x-api-key": "key", "traceparent": "00-0-0-01", "user-agent": "me"}
    strange = {"x|strange": "1", "cookie": "secret", "authorization": "secret", "x-bin": "?", "grpc-timeout": "never"}
    assert world.rest("GET", TENANT, headers={**known, **strange}).status == 200
    metadata = world.services.calls[0].metadata
    assert {name: metadata[name] for name in known} == known
    assert not metadata.keys() & strange.keys()


def test_a_header_that_is_no_text_is_as_good_as_none(world: World) -> None:
    assert world.rest("GET", TENANT, headers={"x-api-key": "k\xe9y", "user-agent": "a\tb"}).status == 200
    assert not world.services.calls[0].metadata.keys() & {"x-api-key"}


def first_refused(code: str) -> Any:
    """Refuse a call, and answer the next."""
    refusals = iter([Refused(code)])

    def answer(request: Any) -> Tenant:
        for refusal in refusals:
            raise refusal
        return Tenant(tenant_id="acme")

    return answer


def test_a_read_that_was_unavailable_is_tried_again(world: World) -> None:
    world.services.answers["GetTenant"] = first_refused("UNAVAILABLE")
    assert world.rest("GET", TENANT).json["tenant_id"] == "acme"
    assert len(world.services.calls) == 2


def test_a_change_that_was_unavailable_is_tried_again_only_under_its_request_id(world: World) -> None:
    world.services.answers["SuspendTenant"] = first_refused("UNAVAILABLE")
    assert world.rest("POST", f"{TENANT}:suspend", {"request_id": ""}).status == 503
    assert len(world.services.calls) == 1

    world.services.answers["SuspendTenant"] = first_refused("UNAVAILABLE")
    request_id = str(uuid.uuid4())
    assert world.rest("POST", f"{TENANT}:suspend", {"request_id": request_id}).status == 200
    assert [call.request.request_id for call in world.services.calls] == ["", request_id, request_id]


@pytest.mark.parametrize("code", ["INTERNAL", "ABORTED", "RESOURCE_EXHAUSTED", "NOT_FOUND", "UNAUTHENTICATED"])
def test_no_other_refusal_is_tried_again(world: World, code: str) -> None:
    world.services.answers["GetTenant"] = first_refused(code)
    assert world.rest("GET", TENANT).status >= 400
    assert len(world.services.calls) == 1


def test_grpc_calls_pass_with_their_statuses_and_details(world: World) -> None:
    def exists(request: Any) -> None:
        raise Refused("ALREADY_EXISTS", "it does")

    world.services.answers["Onboard"] = exists  # type: ignore[assignment]
    world.services.answers["GetTenant"] = lambda request: Tenant(tenant_id=request.tenant_id)
    with grpc.insecure_channel(world.rest.address) as channel:
        stub = TenantServiceStub(channel)
        assert stub.GetTenant(GetTenantRequest(tenant_id="acme"), timeout=30).tenant_id == "acme"
        with pytest.raises(grpc.RpcError) as caught:
            stub.Onboard(OnboardRequest(tenant_id="acme"), timeout=30)
        assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.ALREADY_EXISTS, "it does")
        (detail,) = rpc_status.from_call(caught.value).details
        assert b"SOME_REASON" in detail.value


def test_a_grpc_method_that_there_is_not_is_unimplemented(rest: Rest) -> None:
    with grpc.insecure_channel(rest.address) as channel:
        for path in ("/convergence.tenant.v1.TenantService/Nothing", "/grpc.health.v1.Health/Check", "/x.Y/Z"):
            call: Any = channel.unary_unary(path)
            with pytest.raises(grpc.RpcError) as caught:
                call(b"", timeout=30)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
            assert "{" not in str(caught.value.details())


def test_sixty_four_callers_at_once_get_each_their_own_answer(world: World) -> None:
    world.services.answers["GetTenant"] = lambda request: Tenant(tenant_id=request.tenant_id)
    names = [f"tenant_{number}" for number in range(64)] * 4
    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda name: world.rest("GET", f"/api/v1/tenants/{name}"), names))
    assert [answer.json["tenant_id"] for answer in answers] == names
    assert len({answer.headers["x-correlation-id"] for answer in answers}) == len(names)


def test_a_list_larger_than_a_megabyte_comes_whole(services: FakeServices, rest: Rest) -> None:
    tenants = [Tenant(tenant_id=f"tenant_{number}", location="x" * 3_000) for number in range(1000)]
    services.answers["ListTenants"] = lambda request: ListTenantsResponse(tenants=tenants)
    assert len(rest("GET", "/api/v1/tenants?page_size=1000").json["tenants"]) == 1000
