"""A request with something in every field, and where its REST form has each of them."""

import json
import re
import urllib.parse
from typing import Any

from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.methods import Method


def example(message: Descriptor) -> Any:
    """A message with every field set; of a oneof the last."""
    request = message_factory.GetMessageClass(message)()
    json_format.ParseDict({field.name: _value(field) for field in _fields(message)}, request)
    return request


def rest_form(method: Method, request: Any) -> tuple[str, str | None]:
    """The path with its query, and the body."""
    fields = json_format.MessageToDict(request, preserving_proto_field_name=True)
    bound = re.findall(r"\{(\w+)\}", method.path)
    path = re.sub(r"\{(\w+)\}", lambda match: urllib.parse.quote(fields[match.group(1)], safe=""), method.path)
    others = {name: value for name, value in fields.items() if name not in bound}
    if method.has_body:
        return path, json.dumps(others)
    return path + (f"?{urllib.parse.urlencode(others)}" if others else ""), None


def _fields(message: Descriptor) -> list[FieldDescriptor]:
    last = {field.containing_oneof.name: field for field in message.fields if field.containing_oneof}
    return [
        field for field in message.fields if not field.containing_oneof or last[field.containing_oneof.name] is field
    ]


def _value(field: FieldDescriptor) -> Any:
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        return {"one": _single(message.fields_by_name["value"])}
    return [_single(field)] if field.is_repeated else _single(field)


def _single(field: FieldDescriptor) -> Any:
    message = field.message_type
    if message is not None and message.full_name == "google.protobuf.Timestamp":
        return "2025-11-15T01:02:03Z"
    if message is not None and message.full_name == "google.protobuf.Duration":
        return "90s"
    if message is not None:
        return {inner.name: _value(inner) for inner in _fields(message)}
    if field.type == FieldDescriptor.TYPE_BOOL:
        return True
    if field.enum_type is not None:
        return field.enum_type.values[-1].name
    if field.type == FieldDescriptor.TYPE_STRING:
        return f"{field.name} -_.,:;?&=+%é"
    return 7
