"""Every method of both services has a REST form, and what is sent by it reaches the method whole."""

import pytest

from gateway.methods import Method, methods
from tests.gateway.conftest import World
from tests.gateway.examples import example, rest_form

METHODS = {method.descriptor.name: method for method in methods()}
EVERY_METHOD = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


def test_no_two_methods_have_the_same_form() -> None:
    assert len({(method.verb, method.path_pattern) for method in METHODS.values()}) == len(METHODS)


@EVERY_METHOD
def test_every_field_of_every_request_arrives(world: World, method: Method) -> None:
    request = example(method.request)
    path, body = rest_form(method, request)
    answer = world.rest(method.verb.upper(), path, body, headers={"x-api-key": "some-key"})
    assert answer.status == 200, answer
    (call,) = world.services.calls
    assert (call.method, call.request) == (method.descriptor.name, request)
    assert call.metadata["x-api-key"] == "some-key"


@EVERY_METHOD
def test_streams_are_lines_of_json_and_all_other_answers_one_object(world: World, method: Method) -> None:
    path, body = rest_form(method, example(method.request))
    answer = world.rest(method.verb.upper(), path, body)
    if method.streams:
        assert answer.headers["content-type"] == "application/x-ndjson"
        (message,) = answer.lines
    else:
        assert answer.headers["content-type"] == "application/json"
        message = answer.json
    plain = {f.name for f in method.descriptor.output_type.fields if f.message_type is None or f.is_repeated}
    assert message.keys() == plain, "default values are there, by the names of the protos"
