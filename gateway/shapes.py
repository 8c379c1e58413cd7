"""What the body of each request may hold, as a table in Lua for `requests.lua`."""

from collections.abc import Iterable

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.methods import Method

AS_STRING = frozenset({"google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.FieldMask"})
"""Messages that JSON writes as strings."""


def shapes(methods: Iterable[Method]) -> str:
    """`SHAPES`, by the full name of the request: of methods that take a body. Field names are those of the protos, in snake_case."""
    messages = {method.request.full_name: method.request for method in methods if method.has_body}
    tables = (f'  ["{name}"] = {_fields(message)},\n' for name, message in sorted(messages.items()))
    return f"local SHAPES = {{\n{''.join(tables)}}}\n"


def _fields(message: Descriptor) -> str:
    return "{ " + ", ".join(f'["{field.name}"] = {_field(field)}' for field in message.fields) + " }"


def _field(field: FieldDescriptor) -> str:
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        return f'{{ fields = {{ ["*"] = {_value(message.fields_by_name["value"])} }} }}'
    return f"{{ list = {_value(field)} }}" if field.is_repeated else _value(field)


def _value(field: FieldDescriptor) -> str:
    message = field.message_type
    if message is None:
        return '"string"' if field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES) else '"scalar"'
    if message.full_name in AS_STRING:
        return '"string"'
    if message.file.package.startswith("google."):
        raise ValueError(f"{field.full_name}: the gateway does not know how JSON writes a {message.full_name}")
    return f"{{ fields = {_fields(message)} }}"
