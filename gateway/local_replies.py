"""What the gateway answers by itself (no such path, no JSON, no replica): JSON in the form of the services' own errors.

A gRPC caller gets the text as it is, in `grpc-message`.
"""

from collections.abc import Mapping
from typing import Any

from google.rpc import code_pb2

from common.rpc.status import DOMAIN

CODES: Mapping[int, str] = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    413: "RESOURCE_EXHAUSTED",
    431: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""The name in google.rpc.Code for each HTTP status; whatever else the gateway answers is INTERNAL."""
_TYPE = "type.googleapis.com/google.rpc."
_REASONS: Mapping[str, str] = {
    "INVALID_ARGUMENT": "FIELD_INVALID",
    "NOT_FOUND": "METHOD_UNKNOWN",
    "UNIMPLEMENTED": "METHOD_UNKNOWN",
    "RESOURCE_EXHAUSTED": "MESSAGE_TOO_LARGE",
    "DEADLINE_EXCEEDED": "CALL_TIMEOUT",
    "UNAVAILABLE": "DEPENDENCY_UNAVAILABLE",
    "INTERNAL": "INTERNAL",
}
_RETRY_INFO: Mapping[str, Any] = {"@type": f"{_TYPE}RetryInfo", "retry_delay": "1s"}


def mappers() -> list[dict[str, Any]]:
    """The mappers of Envoy's `local_reply_config`, of which the first that fits is taken."""
    grpc = _header("content-type", string_match={"prefix": "application/grpc"})
    not_transcoded = _header("x-envoy-original-path", present_match=True, invert_match=True)
    as_it_is = {"text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"}}
    return [
        {"filter": {"and_filter": {"filters": [grpc, not_transcoded]}}, "body_format_override": as_it_is},
        *({"filter": _status("EQ", status), "body_format_override": _body(code)} for status, code in CODES.items()),
        {"filter": _status("GE", 400), "body_format_override": _body("INTERNAL")},
    ]


def _body(code: str) -> dict[str, Any]:
    info = {"@type": f"{_TYPE}ErrorInfo", "reason": _REASONS[code], "domain": DOMAIN, "metadata": {}}
    details = [info, dict(_RETRY_INFO)] if code == "UNAVAILABLE" else [info]
    message = (
        "The gateway refused the request. %LOCAL_REPLY_BODY%" if code == "INVALID_ARGUMENT" else "%LOCAL_REPLY_BODY%"
    )
    return {"json_format": {"code": code_pb2.Code.Value(code), "message": message, "details": details}}


def _header(name: str, **match: Any) -> dict[str, Any]:
    return {"header_filter": {"header": {"name": name, **match}}}


def _status(operator: str, status: int) -> dict[str, Any]:
    # Envoy wants a key by which the number could be changed while it runs; nothing here sets it.
    value = {"default_value": status, "runtime_key": "gateway.none"}
    return {"status_code_filter": {"comparison": {"op": operator, "value": value}}}
