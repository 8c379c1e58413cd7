"""What the body of each request may hold, as a table in Lua for `requests.lua`."""

from collections.abc import Iterable

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.methods import Method

AS_STRING = frozenset({"google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.FieldMask"})
"""Messages that JSON writes as strings."""


def shapes(methods: Iterable[Method]) -> str:
    """`SHAPES`: the fields of each message by its full name, of requests that have a body and of what they hold. Field names are those of
    the protos, in snake_case. Raises ValueError for a message that JSON does not write as an object of its fields."""
    messages: dict[str, Descriptor] = {}
    for method in methods:
        if method.has_body:
            _collect(method.request, messages)
    tables = (f'  ["{name}"] = {_fields(message)},\n' for name, message in sorted(messages.items()))
    return f"local SHAPES = {{\n{''.join(tables)}}}\n"


def _collect(message: Descriptor, messages: dict[str, Descriptor]) -> None:
    if message.full_name in messages or message.full_name in AS_STRING:
        return
    if message.file.package.startswith("google."):
        raise ValueError(f"the gateway does not know how JSON writes a {message.full_name}")
    if not message.GetOptions().map_entry:
        messages[message.full_name] = message
    for field in message.fields:
        if field.message_type is not None:
            _collect(field.message_type, messages)


def _fields(message: Descriptor) -> str:
    return "{ " + ", ".join(f'["{field.name}"] = {_field(field)}' for field in message.fields) + " }"


def _field(field: FieldDescriptor) -> str:
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        return f"{{ map = {_value(message.fields_by_name['value'])} }}"
    return f"{{ list = {_value(field)} }}" if field.is_repeated else _value(field)


def _value(field: FieldDescriptor) -> str:
    message = field.message_type
    if message is None:
        return '"string"' if field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES) else '"scalar"'
    return '"string"' if message.full_name in AS_STRING else f'{{ of = "{message.full_name}" }}'
