"""What a REST caller is told when a call does not succeed: always JSON, always with the status that HTTP has for it."""

import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2

from gateway.methods import methods
from tests.gateway.conftest import World
from tests.gateway.examples import example, rest_form
from tests.gateway.fakes import FakeServices, Refused
from tests.gateway.rest import Answer, Rest, running_gateway
from tests.waiting import eventually

STATUSES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
TYPE = "type.googleapis.com/google.rpc."
KINDS = [method for method in methods() if method.descriptor.name in ("GetRun", "WatchRun", "RunTemplate", "Onboard")]
RUN = "/api/v1/pipelines/run/acme/gcp/cost/daily"


def refusing(code: str) -> Refused:
    violation = error_details_pb2.BadRequest.FieldViolation(field="date", description="is wrong")
    return Refused(
        code,
        "why, with “quotes”\nand lines",
        error_details_pb2.BadRequest(field_violations=[violation]),
        error_details_pb2.RetryInfo(retry_delay=Duration(seconds=2)),
    )


REASONS = {
    "NOT_FOUND": "METHOD_UNKNOWN",
    "UNIMPLEMENTED": "METHOD_UNKNOWN",
    "RESOURCE_EXHAUSTED": "MESSAGE_TOO_LARGE",
    "INVALID_ARGUMENT": "FIELD_INVALID",
}
"""Of what the gateway refuses by itself."""


def assert_is_refused_by_the_gateway(answer: Answer, status: int, code: str) -> None:
    assert_is_error(answer, status, code)
    assert answer.reason == REASONS[code]


def assert_is_error(answer: Answer, status: int, code: str) -> None:
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/json"
    assert answer.json.keys() == {"code", "message", "details"}
    assert answer.json["code"] == code_pb2.Code.Value(code)
    assert answer.json["message"]


@pytest.mark.parametrize("code", STATUSES)
@pytest.mark.parametrize("method", ["RunTemplate", "WatchRun"])
def test_a_status_becomes_that_of_http_and_its_details_json(world: World, method: str, code: str) -> None:
    def refuse(request: object) -> None:
        raise refusing(code)

    world.services.answers[method] = refuse  # type: ignore[assignment]
    answer = (
        world.rest("POST", RUN, {}) if method == "RunTemplate" else world.rest("GET", "/api/v1/pipelines/runs/1:watch")
    )
    assert_is_error(answer, STATUSES[code], code)
    assert answer.json["message"] == "why, with “quotes”\nand lines"
    assert answer.json["details"] == [
        {"@type": f"{TYPE}ErrorInfo", "reason": "SOME_REASON", "domain": "convergence", "metadata": {}},
        {
            "@type": f"{TYPE}BadRequest",
            "field_violations": [{"field": "date", "description": "is wrong", "reason": ""}],
        },
        {"@type": f"{TYPE}RetryInfo", "retry_delay": "2s"},
    ]


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("GET", "/"),
        ("GET", "/api/v1/nothing"),
        ("GET", "/api/v1/tenants/acme:undo"),
        ("POST", "/api/v1/tenants/acme:undo"),
        ("POST", f"{RUN}/more"),
        ("POST", "/api/v1/pipelines/run/acme/gcp/cost/"),
        ("GET", "/api/v1/pipelines/runs/../../../x"),
        ("POST", "/convergence.tenant.v1.TenantService/Onboard"),
        ("GET", "/convergence.tenant.v1.TenantService/GetTenant"),
    ],
)
def test_what_is_no_path_is_not_found(world: World, verb: str, path: str) -> None:
    assert_is_refused_by_the_gateway(world.rest(verb, path), 404, "NOT_FOUND")
    assert world.services.calls == []


@pytest.mark.parametrize(
    ("verb", "path", "allow"),
    [
        ("GET", RUN, "POST"),
        ("DELETE", RUN, "POST"),
        ("PATCH", "/api/v1/tenants/acme", "GET"),
        ("OPTIONS", "/api/v1/tenants/acme", "GET"),
        ("PATCH", "/api/v1/tenants/acme:suspend", "POST"),
        ("POST", "/api/v1/tenants/acme/credentials/models", "DELETE, PUT"),
    ],
)
def test_a_path_by_another_verb_is_refused_with_those_that_it_allows(
    world: World, verb: str, path: str, allow: str
) -> None:
    answer = world.rest(verb, path)
    assert_is_refused_by_the_gateway(answer, 405, "UNIMPLEMENTED")
    assert answer.headers["allow"] == allow
    assert world.services.calls == []


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/tenants/..%2f..%2fetc",
        "/api/v1/tenants/a%5cb",
        "/api/v1/tenants/a%00b",
        "/api/v1/tenants/acme?tenant_id=other",
        "/api/v1/tenants/acme?tenant%5Fid=other",
        "/api/v1/tenants/acme?tenantId=other",
        "/api/v1/tenants/acme/runs?nothing=1",
        "/api/v1/tenants/acme/runs?page_size=1&page_size=2",
        "/api/v1/tenants/acme/runs?page_size=x",
        "/api/v1/tenants/acme/runs?page_size=99999999999",
        "/api/v1/tenants/acme/runs?status=NOTHING",
        "/api/v1/tenants/acme/audit_records?start_time=today",
    ],
)
def test_a_path_or_query_that_means_nothing_is_refused(world: World, path: str) -> None:
    assert_is_refused_by_the_gateway(world.rest("GET", path), 400, "INVALID_ARGUMENT")
    assert world.services.calls == []


def test_a_body_where_none_may_be_and_a_query_where_the_body_tells_all_are_refused(world: World) -> None:
    assert_is_refused_by_the_gateway(world.rest("GET", "/api/v1/tenants/acme", {}), 400, "INVALID_ARGUMENT")
    assert_is_refused_by_the_gateway(world.rest("POST", f"{RUN}?date=2025-11-15", {}), 400, "INVALID_ARGUMENT")
    assert world.services.calls == []


def test_headers_that_are_too_large_or_too_many_are_refused(rest: Rest) -> None:
    for headers in ({"x-large": "x" * 20_000}, {f"x-{number}": "x" for number in range(80)}):
        assert_is_refused_by_the_gateway(
            rest("GET", "/api/v1/tenants/acme", headers=headers), 431, "RESOURCE_EXHAUSTED"
        )


def test_callers_do_not_command_the_gateway(world: World) -> None:
    tried = {"x-envoy-upstream-rq-timeout-ms": "1", "x-envoy-retry-on": "5xx", "x-envoy-max-retries": "50"}

    def refuse(request: object) -> None:
        raise Refused("UNAVAILABLE")

    world.services.answers["SuspendTenant"] = refuse  # type: ignore[assignment]
    assert_is_error(world.rest("POST", "/api/v1/tenants/acme:suspend", {}, headers=tried), 503, "UNAVAILABLE")
    assert len(world.services.calls) == 1
    assert not world.services.calls[0].metadata.keys() & tried.keys()


def test_services_that_are_away_are_unavailable_until_they_are_back(tmp_path_factory: pytest.TempPathFactory) -> None:
    services = FakeServices()
    services.start()
    try:
        with running_gateway(tmp_path_factory.mktemp("away"), services.replicas) as rest:
            services.stop()
            for method in KINDS:
                path, body = rest_form(method, example(method.request))
                answer = rest(method.verb.upper(), path, body)
                assert_is_error(answer, 503, "UNAVAILABLE")
                assert answer.reason == "DEPENDENCY_UNAVAILABLE"
                assert {"@type": f"{TYPE}RetryInfo", "retry_delay": "1s"} in answer.json["details"]
            eventually(lambda: rest("GET", "/healthz").status == 503, 30.0, "the gateway knows that they are away")
            services.start()
            eventually(lambda: rest("GET", "/healthz").status == 200, 30.0, "and that they are back")
            assert rest("GET", "/api/v1/tenants/acme").status == 200
    finally:
        services.stop()
