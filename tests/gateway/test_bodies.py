"""What a body may be: exactly a JSON object of the request's fields. Whatever else is refused before any service sees it."""

import json
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.gateway.conftest import World
from tests.gateway.rest import Rest

RUN = "/api/v1/pipelines/run/acme/gcp/cost/daily"
PUT = "/api/v1/tenants/acme/credentials/models"
SECRET = "sk-0123456789abcdef"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{}",
        " {\t} \r\n",
        '{"date": null}',
        '{"tenant_id": "acme"}',
        '{"date": "\\u0061\\"\\\\"}',
        '{"parameters": {}}',
        '{"parameters": {"date": "x", "é{[": "]}"}}',
    ],
)
def test_a_body_that_means_something_arrives(world: World, body: str) -> None:
    assert world.rest("POST", RUN, body).status == 200, body
    (call,) = world.services.calls
    assert call.request.tenant_id == "acme"


def test_a_body_arrives_whatever_is_said_of_its_type(world: World) -> None:
    for kind in ("application/json", "application/x-www-form-urlencoded", "text/plain"):
        assert world.rest("POST", RUN, {"date": "x"}, headers={"content-type": kind}).status == 200
    assert [call.request.date for call in world.services.calls] == ["x"] * 3


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("{", "is no JSON"),
        ("[1]", "must be a JSON object"),
        ('"text"', "must be a JSON object"),
        ("null", "must be a JSON object"),
        ('{"date": }', "is no JSON"),
        ('{"date" "x"}', "is no JSON"),
        ("{'date': 'x'}", "is no JSON"),
        ('{"date": "x",}', "is no JSON"),
        ('{"date": "x', "has a string without an end"),
        ('{"date": "a\nb"}', "has a string without an end"),
        ('{"date": "x"} {}', "goes on after its end"),
        ('{"date": "x"}}', "goes on after its end"),
        ('{"dat": "x"}', "dat: is no field of this request"),
        ('{"dat": "x", "tim": {"a": [1]}}', "dat: is no field of this request; tim: is no field of this request"),
        ('{"templateName": "daily"}', "templateName: is no field of this request"),
        ('{"d\\u0061te": "x"}', "has a member that is no field"),
        ('{"date": "x", "date": "y"}', "date: is there twice"),
        ('{"date": 5}', "date: must be a string"),
        ('{"date": {}}', "date: must be a string"),
        ('{"date": ["x"]}', "date: must be a string"),
        ('{"parameters": []}', "parameters: must be an object"),
        ('{"parameters": "x"}', "parameters: must be an object"),
        ('{"parameters": {"a": 5}}', "parameters: must be a string"),
        ('{"parameters": {"a": {}}}', "parameters: must be a string"),
        ('{"parameters": {"a": null}}', "parameters: must be a string"),
        ('{"parameters": {"a": "1", "a": "2"}}', "parameters"),
        ('{"date": "\\q"}', "has an escape that JSON does not know at byte 10"),
        ('{"tenant_id": "other"}', "conflicting"),
        ('{"x": ' + "[" * 100_000, "is nested too deeply"),
        ('{"x": ' + '{"x":' * 100_000, "is nested too deeply"),
        ('{"x": [' + "1," * 100_000 + "1]}", "holds too many values"),
        (b'{"date": "\xff\xfe"}', "is no UTF-8 at byte 10"),
        (b'{"date": "\xed\xa0\x80"}', "is no UTF-8"),
        (b'{"date": "\xc0\xaf"}', "is no UTF-8"),
        (b"\x00\x01\x02", "must be a JSON object"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, str) else None,
)
def test_a_body_that_means_nothing_is_refused_with_what_is_wrong(world: World, body: Any, complaint: str) -> None:
    answer = world.rest("POST", RUN, body)
    assert answer.status == 400, answer
    assert complaint in answer.json["message"]
    assert answer.reason == "FIELD_INVALID"
    assert world.services.calls == []


@pytest.mark.parametrize(
    "body",
    [
        f'{{"openai_api_key": {SECRET}}}',
        f'{{"openai_api_key": "{SECRET}',
        f'{{"openai_api_key": ["{SECRET}"]}}',
        f'{{"{SECRET}": 1 }}x',
        f'{{"openai_api_key" "{SECRET}"}}',
        f'{{"aws_access_key": "{SECRET}"}}',
        f'{{"aws_access_key": {{"secret_access_key": {{"{SECRET}": "{SECRET}"}}}}}}',
        f'{{"openai_api_key": "{SECRET}", "generic_token": "{SECRET}"}}',
        f'{SECRET}{{"openai_api_key": "x"}}',
        f'{{"openai_api_key": "\\ud800{SECRET}"}}',
        f'{{"openai_api_key": "\\q{SECRET}"}}',
        f'{{"openai_api_key": "\\u12{SECRET}"}}',
        f'{{"openai_api_key": "\xff{SECRET}"}}'.encode("latin-1"),
    ],
)
def test_no_refusal_repeats_the_value_of_a_secret_and_no_log_has_it(world: World, body: str) -> None:
    answer = world.rest("PUT", PUT, body)
    assert answer.status == 400, answer
    assert SECRET not in answer.text
    assert world.services.calls == []
    assert SECRET not in (world.folder / "envoy.log").read_text()


def test_a_body_as_large_as_a_request_may_be_arrives_and_a_larger_one_is_refused(world: World) -> None:
    longest = {"parameters": {f"name_{number}": "x" * 10_000 for number in range(100)}}
    assert world.rest("POST", RUN, longest).status == 200
    assert len(world.services.calls[0].request.parameters) == 100
    answer = world.rest("POST", RUN, {"date": "x" * 3_000_000})
    assert (answer.status, answer.json["code"]) == (413, 8)
    assert len(world.services.calls) == 1


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["date", "trigger_by", "parameters", "request_id", "tenant_id", "else"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(NAMES, VALUES, max_size=4), st.booleans())
def test_a_body_arrives_exactly_if_each_member_is_a_field_and_of_its_kind(
    rest: Rest, world: World, body: dict[str, Any], ascii_only: bool
) -> None:
    texts = {"date", "trigger_by", "request_id", "tenant_id"}
    fits = all(
        value is None or isinstance(value, str) if name in texts else name == "parameters" and is_text_map(value)
        for name, value in body.items()
    ) and body.get("tenant_id") in (None, "acme")
    answer = rest("POST", RUN, json.dumps(body, ensure_ascii=ascii_only))
    assert answer.status == (200 if fits else 400), answer


def is_text_map(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and all(isinstance(each, str) for each in value.values()))


def test_numbers_that_json_does_not_know_are_refused(rest: Rest) -> None:
    for number in (math.nan, math.inf):
        assert rest("POST", "/api/v1/tenants/acme/keys:revoke", {"all": number}).status == 400
