"""docs/openapi.yaml says of REST what the protos say. That it is what they generate is for `make check`; that answers are like it for
`tests/rpc/test_any_rest_call.py`."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.api import field_behavior_pb2
from jsonschema import Draft202012Validator

from convergence.errors.v1 import error_reason_pb2
from convergence.options.v1 import options_pb2
from gateway.methods import Method, methods

METHODS = {method.descriptor.name: method for method in methods()}
EVERY_METHOD = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


@cache
def document() -> Any:
    return yaml.safe_load((Path(__file__).parents[2] / "docs" / "openapi.yaml").read_text())


def operation(method: Method) -> Any:
    return document()["paths"][method.path][method.verb]


def resolved(reference: str) -> Any:
    found = document()
    for name in reference.removeprefix("#/").split("/"):
        found = found[name]
    return found


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        for each in part.values():
            yield from references(each)
    if isinstance(part, list):
        for each in part:
            yield from references(each)


def test_it_has_the_methods_and_no_other_operation() -> None:
    operations = [each["operationId"] for path in document()["paths"].values() for each in path.values()]
    assert sorted(operations) == sorted(METHODS)


def test_every_reference_leads_somewhere_and_every_schema_is_led_to() -> None:
    found = set(references(document()))
    for reference in found:
        assert resolved(reference)
    named = {f"#/components/schemas/{name}" for name in document()["components"]["schemas"]}
    assert {each for each in found if each.startswith("#/components/schemas/")} == named


def test_every_schema_is_one() -> None:
    for schema in document()["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


@EVERY_METHOD
def test_an_operation_says_what_its_method_does_and_who_may_call_it(method: Method) -> None:
    described = operation(method)
    access = method.descriptor.GetOptions().Extensions[options_pb2.access]
    caller = "For an admin's key." if access.admin_only else f"with the scope `{access.scope}`."
    assert described["summary"]
    assert described["description"].endswith(caller)
    assert described.get("deprecated", False) == method.descriptor.GetOptions().deprecated
    assert {"200", "400", "401", "403", "404", "409", "429", "500", "503"} <= described["responses"].keys()
    (kind,) = described["responses"]["200"]["content"]
    assert kind == ("application/x-ndjson" if method.streams else "application/json")


@EVERY_METHOD
def test_every_field_is_somewhere_and_required_where_the_proto_says_so(method: Method) -> None:
    described = operation(method)
    parameters = [each for each in described["parameters"] if "name" in each]
    fields = {each["name"]: each["required"] for each in parameters}
    if "requestBody" in described:
        body = resolved(described["requestBody"]["content"]["application/json"]["schema"]["$ref"])
        assert body["additionalProperties"] is False
        fields |= {name: name in body.get("required", []) for name in body["properties"]}
    behaviors = {
        field.name: field.GetOptions().Extensions[field_behavior_pb2.field_behavior] for field in method.request.fields
    }
    in_path = {each["name"] for each in parameters if each["in"] == "path"}
    assert fields == {
        name: name in in_path or field_behavior_pb2.REQUIRED in behavior for name, behavior in behaviors.items()
    }
    assert all(each["description"] for each in parameters)


def test_errors_have_every_reason_with_its_comment() -> None:
    reasons = resolved("#/components/schemas/ErrorReason")
    assert reasons["enum"] == error_reason_pb2.ErrorReason.keys()
    for name in reasons["enum"]:
        assert f"- `{name}`: " in reasons["description"]
    assert document()["security"] == [{"ApiKey": []}]
