"""The document: OpenAPI 3.1, one operation for each method of both services."""

import re
from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from common.rpc.auth_interceptor import API_KEY_METADATA_KEY
from convergence.options.v1 import options_pb2
from gateway.methods import SERVICES, Method, methods
from tools.openapi.errors import error_responses, error_schemas, headers, responses
from tools.openapi.schemas import Schemas, is_required

ABOUT = """Cloud-cost pipelines for many tenants on BigQuery, over REST. Generated from the protos, whose gRPC methods these are.

Field names are those of the protos. Unknown and repeated fields are refused. Streams are newline-delimited JSON: the schema is that of one
line. `docs/rest.md` says what a stream's last line tells."""


def document(comments: Mapping[str, str], version: str) -> dict[str, Any]:
    """The whole of it. `comments` are those of the protos by full name. Raises ValueError for what REST cannot say."""
    schemas = Schemas(comments)
    paths: dict[str, dict[str, Any]] = {}
    for method in methods():
        paths.setdefault(method.path, {})[method.verb] = _operation(method, comments, schemas)
    errors = error_schemas(schemas)
    correlation_id = {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Convergence", "version": version, "description": ABOUT},
        "servers": [{"url": "http://127.0.0.1:8080", "description": "The local stack, `make up`."}],
        "security": [{"ApiKey": []}],
        "tags": [{"name": s.name, "description": comments[s.full_name]} for s in SERVICES.values()],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "ApiKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": API_KEY_METADATA_KEY,
                    "description": "A tenant's key or an admin's.",
                }
            },
            "parameters": {
                "CorrelationId": {
                    "name": "x-correlation-id",
                    "in": "header",
                    "description": "Ties the call to the caller's logs: `[A-Za-z0-9._-]{1,64}`. Whatever else it is, it is made anew.",
                    "schema": {"type": "string"},
                }
            },
            "responses": error_responses(),
            "headers": {"CorrelationId": {"description": "The call's correlation id.", "schema": correlation_id}},
            "schemas": {**schemas.components(), **errors},
        },
    }


def _operation(method: Method, comments: Mapping[str, str], schemas: Schemas) -> dict[str, Any]:
    comment = comments[method.descriptor.full_name]
    bound = re.findall(r"\{(\w+)\}", method.path)
    in_path = [_parameter(method.request.fields_by_name[name], "path", schemas) for name in bound]
    in_query = [_parameter(method.request.fields_by_name[name], "query", schemas) for name in method.query]
    operation: dict[str, Any] = {
        "operationId": method.descriptor.name,
        "tags": [method.descriptor.containing_service.name],
        "summary": re.split(r"(?<=\.)\s", comment, maxsplit=1)[0],
        "description": f"{comment}\n\n{_access(method)}",
        "parameters": [*in_path, *in_query, {"$ref": "#/components/parameters/CorrelationId"}],
    }
    if method.descriptor.GetOptions().deprecated:
        operation["deprecated"] = True
    if method.has_body:
        content = {"application/json": {"schema": schemas.body(method.request, frozenset(bound))}}
        needed = any(is_required(field) and field.name not in bound for field in method.request.fields)
        operation["requestBody"] = {"required": needed, "content": content}
    kind = "application/x-ndjson" if method.streams else "application/json"
    good = {
        "description": "A line for each message of the stream, as it comes." if method.streams else "The answer.",
        "headers": headers(),
        "content": {kind: {"schema": schemas.answer(method.descriptor.output_type)}},
    }
    operation["responses"] = {"200": good, **responses()}
    return operation


def _parameter(field: FieldDescriptor, place: str, schemas: Schemas) -> dict[str, Any]:
    schema = schemas.field(field, closed=True)
    description = schema.pop("description")
    # A parameter in the path is never empty, and a slash in it is refused.
    bounds = {"pattern": "^[^/\\\\\\x00]+$"} if place == "path" else {}
    return {
        "name": field.name,
        "in": place,
        "required": place == "path" or is_required(field),
        "description": description,
        "schema": {**schema, **bounds},
    }


def _access(method: Method) -> str:
    access = method.descriptor.GetOptions().Extensions[options_pb2.access]
    if access.WhichOneof("caller") == "admin_only":
        return "For an admin's key."
    return f"For an admin's key, or a tenant's with the scope `{access.scope}`."
