"""The methods of the API as the gateway offers them, read from the descriptors: a new method is served without another word."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from google.api import annotations_pb2
from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor

from convergence.pipeline.v1 import pipeline_service_pb2
from convergence.tenant.v1 import tenant_service_pb2

SERVICES: Mapping[str, ServiceDescriptor] = {
    "tenant_service": tenant_service_pb2.DESCRIPTOR.services_by_name["TenantService"],
    "pipeline_service": pipeline_service_pb2.DESCRIPTOR.services_by_name["PipelineService"],
}
"""Both services, by the name of the server that has them."""
VERBS = ("get", "put", "post", "delete", "patch")


@dataclass(frozen=True, slots=True)
class Method:
    """One method and its REST form (`google.api.http`): `path` is a template such as `/api/v1/tenants/{tenant_id}:suspend`."""

    server: str
    descriptor: MethodDescriptor
    verb: str
    path: str
    has_body: bool

    @property
    def grpc_path(self) -> str:
        """`/package.Service/Method`."""
        return f"/{self.descriptor.containing_service.full_name}/{self.descriptor.name}"

    @property
    def request(self) -> Descriptor:
        """The message that it takes."""
        return self.descriptor.input_type

    @property
    def streams(self) -> bool:
        """Whether it answers with a stream."""
        return bool(self.descriptor.server_streaming)

    @property
    def reads(self) -> bool:
        """Whether it changes nothing, so that anybody may repeat it."""
        return self.verb == "get"

    @property
    def query(self) -> tuple[str, ...]:
        """The fields that may stand in the query: those that neither the path nor a body tells."""
        told = set(re.findall(r"\{(\w+)\}", self.path))
        return () if self.has_body else tuple(field.name for field in self.request.fields if field.name not in told)

    @property
    def path_pattern(self) -> str:
        """A regular expression (RE2) for the paths that the template means."""
        return self._pattern("[^/]+")

    @property
    def exact_path_pattern(self) -> str:
        """The same without paths that end with a `:verb` of another template, or of none."""
        return self._pattern("[^/:]+")

    def _pattern(self, value: str) -> str:
        return value.join(map(re.escape, re.split(r"\{\w+\}", self.path)))


def methods() -> tuple[Method, ...]:
    """Every method of both services. Raises ValueError for one without a REST form, or with one that is not understood here."""
    return tuple(_method(server, method) for server, service in SERVICES.items() for method in service.methods)


def _method(server: str, descriptor: MethodDescriptor) -> Method:
    rule = descriptor.GetOptions().Extensions[annotations_pb2.http]
    verb = rule.WhichOneof("pattern")
    if verb not in VERBS or rule.body not in ("", "*") or rule.additional_bindings or rule.response_body:
        raise ValueError(
            f"{descriptor.full_name}: the option google.api.http is missing, or says what the gateway does not understand"
        )
    path = getattr(rule, verb)
    if not re.fullmatch(r"(/([a-z0-9_]+|\{[a-z0-9_]+\}))+(:[a-z]+)?", path):
        raise ValueError(f"{descriptor.full_name}: the path {path} is not of the form that the gateway understands")
    return Method(server, descriptor, verb, path, has_body=rule.body == "*")
