"""How errors look, those of the services and those of the gateway alike."""

from typing import Any

from common.rpc.status import DOMAIN
from convergence.errors.v1 import error_reason_pb2
from tools.openapi.schemas import Schemas

RESPONSES = {
    "400": "INVALID_ARGUMENT or FAILED_PRECONDITION: the request is malformed, or what it needs is not so; `reason` tells which.",
    "401": "UNAUTHENTICATED: no key, or one that does not hold.",
    "403": "PERMISSION_DENIED: the key may not do this.",
    "404": "NOT_FOUND: what the request names does not exist, or there is no such path.",
    "408": "DEADLINE_EXCEEDED: the request did not arrive in time, 10 s for its headers and 60 s for all of it.",
    "409": "ALREADY_EXISTS or ABORTED: what the request would make exists, or somebody else was first.",
    "413": "The body is too large.",
    "429": "RESOURCE_EXHAUSTED: over a limit; RetryInfo says when to come back.",
    "431": "The headers are too large.",
    "500": "INTERNAL: something unforeseen, which the log has under `error_id`.",
    "503": "UNAVAILABLE: nothing is half done; RetryInfo says when to repeat the call.",
    "504": "DEADLINE_EXCEEDED: the call took too long.",
}
_TYPE = "type.googleapis.com/google.rpc."


def responses() -> dict[str, Any]:
    """Every response of an operation but the good one: references, by HTTP status."""
    return {status: {"$ref": f"#/components/responses/{_name(status)}"} for status in RESPONSES}


def error_responses() -> dict[str, Any]:
    """What these refer to, by name."""
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {
        _name(status): {"description": description, "headers": headers(), "content": content}
        for status, description in RESPONSES.items()
    }


def headers() -> dict[str, Any]:
    """What every response has."""
    return {"x-correlation-id": {"$ref": "#/components/headers/CorrelationId"}}


def error_schemas(schemas: Schemas) -> dict[str, Any]:
    """The schema `Error` and those of its details."""
    reason = schemas.enum(error_reason_pb2.ErrorReason.DESCRIPTOR)
    violation = {"type": "object", "properties": {"field": {"type": "string"}, "description": {"type": "string"}}}
    details = {
        "ErrorInfo": _detail(
            "ErrorInfo",
            "Why the call failed, for programs.",
            reason=reason,
            domain={"type": "string", "const": DOMAIN},
            metadata={"type": "object", "additionalProperties": {"type": "string"}},
        ),
        "BadRequest": _detail(
            "BadRequest",
            "Every malformed field at once.",
            field_violations={"type": "array", "items": violation},
        ),
        "RetryInfo": _detail(
            "RetryInfo",
            "When the call may be repeated.",
            retry_delay={"type": "string", "pattern": r"^[0-9]+(\.[0-9]{1,9})?s$"},
        ),
    }
    error = {
        "type": "object",
        "description": "Why a call failed: google.rpc.Status.",
        "properties": {
            "code": {"type": "integer", "description": "The number of the gRPC status (google.rpc.Code)."},
            "message": {"type": "string", "description": "One sentence for a person."},
            "details": {
                "type": "array",
                "description": "What programs need to know; always an ErrorInfo.",
                "items": {"oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in details]},
            },
        },
        "required": ["code", "message", "details"],
    }
    return {"Error": error, **details}


def _name(status: str) -> str:
    return f"Error{status}"


def _detail(name: str, description: str, **properties: Any) -> dict[str, Any]:
    kind = {"type": "string", "const": f"{_TYPE}{name}"}
    required = ["@type", *properties]
    return {
        "type": "object",
        "description": description,
        "properties": {"@type": kind, **properties},
        "required": required,
    }
