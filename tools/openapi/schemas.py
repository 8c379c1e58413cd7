"""JSON Schemas of messages and enums, as the gateway reads and writes them.

A message is either part of requests, and then closed and with the fields required that `field_behavior` says, or of answers, which have
every field that is no message and may have more in later versions.
"""

from collections.abc import Mapping
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from convergence.options.v1 import options_pb2

Schema = dict[str, Any]
_SCALARS: Mapping[int, Schema] = {
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_INT32: {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1},
    FieldDescriptor.TYPE_INT64: {"type": "string", "format": "int64", "pattern": r"^-?[0-9]{1,19}$"},
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
}
_WELL_KNOWN: Mapping[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {
        "type": "string",
        "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,9})?s$",
        "examples": ["3600s"],
    },
    "google.protobuf.Struct": {"type": "object", "additionalProperties": True},
}


class Schemas:
    """Collects the schemas that the paths refer to. Raises ValueError for what it does not know how JSON writes it."""

    def __init__(self, comments: Mapping[str, str]) -> None:
        self._comments = comments
        self._made: dict[str, tuple[str, Schema]] = {}
        self._under_way: list[Descriptor] = []

    def components(self) -> dict[str, Schema]:
        """All schemas that were referred to, by name."""
        return {name: schema for name, (_, schema) in sorted(self._made.items())}

    def answer(self, message: Descriptor) -> Schema:
        """A reference to the schema of a message in answers."""
        return self._referred(message, closed=False)

    def body(self, message: Descriptor, without: frozenset[str]) -> Schema:
        """A reference to the schema of a request's body: of its fields but for those that the path tells."""
        return self._referred(message, closed=True, without=without)

    def field(self, field: FieldDescriptor, *, closed: bool) -> Schema:
        """The schema of a field with its comment."""
        schema = self._value(field, closed=closed)
        behavior = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
        if field_behavior_pb2.OUTPUT_ONLY in behavior:
            schema["readOnly"] = True
        if field.GetOptions().Extensions[options_pb2.sensitive] and schema.get("type") == "string":
            schema["format"] = "password"
        comment = self._comments[field.full_name]
        return {"description": comment, **schema}

    def enum(self, enum: EnumDescriptor) -> Schema:
        """A reference to the schema of an enum, whose description has a line for each value."""
        values = "\n".join(f"- `{value.name}`: {self._comments[value_name(value)]}" for value in enum.values)
        description = f"{self._comments[enum.full_name]}\n\n{values}"
        schema = {"type": "string", "enum": [value.name for value in enum.values], "description": description}
        return self._reference(enum, schema)

    def _referred(self, message: Descriptor, *, closed: bool, without: frozenset[str] = frozenset()) -> Schema:
        if message in self._under_way:  # it holds messages of its own kind
            return {"$ref": f"#/components/schemas/{_name(message)}"}
        self._under_way.append(message)
        fields = [field for field in message.fields if field.name not in without]
        required = [field.name for field in fields if (is_required(field) if closed else not field.has_presence)]
        schema: Schema = {
            "type": "object",
            "description": self._comments[message.full_name],
            "properties": {field.name: self.field(field, closed=closed) for field in fields},
        }
        if required:
            schema["required"] = required
        if closed:
            schema["additionalProperties"] = False
            choices = [oneof for oneof in message.oneofs if len(oneof.fields) > 1]
            if choices:
                schema["description"] += "".join(f" {self._comments[oneof.full_name]}" for oneof in choices)
                schema["allOf"] = [{"oneOf": [{"required": [f.name]} for f in oneof.fields]} for oneof in choices]
        self._under_way.remove(message)
        return self._reference(message, schema)

    def _reference(self, described: Descriptor | EnumDescriptor, schema: Schema) -> Schema:
        name = _name(described)
        if self._made.setdefault(name, (described.full_name, schema)) != (described.full_name, schema):
            raise ValueError(f"{described.full_name}: {name} is described in another way already")
        return {"$ref": f"#/components/schemas/{name}"}

    def _value(self, field: FieldDescriptor, *, closed: bool) -> Schema:
        message = field.message_type
        if message is not None and message.GetOptions().map_entry:
            return {
                "type": "object",
                "additionalProperties": self._single(message.fields_by_name["value"], closed=closed),
            }
        single = self._single(field, closed=closed)
        return {"type": "array", "items": single} if field.is_repeated else single

    def _single(self, field: FieldDescriptor, *, closed: bool) -> Schema:
        if field.enum_type is not None:
            return self.enum(field.enum_type)
        if field.message_type is None:
            scalar = _SCALARS.get(field.type)
        else:
            scalar = _WELL_KNOWN.get(field.message_type.full_name)
            if scalar is None and field.message_type.file.package.startswith("convergence."):
                return self._referred(field.message_type, closed=closed)
        if scalar is None:
            raise ValueError(f"{field.full_name}: it is not known how JSON writes its type")
        return dict(scalar)


def _name(described: Descriptor | EnumDescriptor) -> str:
    return described.full_name.removeprefix(f"{described.file.package}.")


def is_required(field: FieldDescriptor) -> bool:
    """Whether the proto says that a request must have the field."""
    return field_behavior_pb2.REQUIRED in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]


def value_name(value: Any) -> str:
    """The name under which an enum's value has its comment: within its enum, unlike in protobuf's scoping."""
    return f"{value.type.full_name}.{value.name}"
