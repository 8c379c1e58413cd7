"""Both services as the gateway sees them: they note what reaches them, and answer what the test says."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import any_pb2, message_factory
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import HealthServicer
from grpc_status import rpc_status

from gateway.methods import SERVICES

Answer = Callable[[Any], "Message | Iterable[Message]"]
"""Takes the request; gives the answer, or the messages of a stream. Raises Refused."""


class Refused(Exception):
    """A call's end with a status, `details` as the services send them."""

    def __init__(self, code: str, message: str = "no", *details: Message) -> None:
        super().__init__(message)
        packed = []
        for detail in (error_details_pb2.ErrorInfo(reason="SOME_REASON", domain="convergence"), *details):
            packed.append(any_pb2.Any())
            packed[-1].Pack(detail)
        self.status = status_pb2.Status(code=code_pb2.Code.Value(code), message=message, details=packed)


@dataclass(frozen=True)
class Call:
    """One call as it arrived."""

    method: str
    request: Any
    metadata: dict[str, str]


@dataclass
class FakeServices:
    """`answers` by the method's name; a method without one gives its empty message, once where it streams. Plaintext without
    `credentials`."""

    port: int = 0
    answers: dict[str, Answer] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    server: grpc.Server | None = None
    credentials: grpc.ServerCredentials | None = None

    @property
    def replicas(self) -> dict[str, list[str]]:
        """The address, for both services."""
        return {name: [f"127.0.0.1:{self.port}"] for name in SERVICES}

    def start(self) -> None:
        """Listen, on the port of before where there was one."""
        self.server = grpc.server(ThreadPoolExecutor(80), options=[("grpc.so_reuseport", 0)])
        health = HealthServicer()
        for service in SERVICES.values():
            handlers = {method.name: self._handler(method) for method in service.methods}
            self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))
            health.set(service.full_name, health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(health, self.server)
        address = f"127.0.0.1:{self.port}"
        if self.credentials:
            self.port = self.server.add_secure_port(address, self.credentials)
        else:
            self.port = self.server.add_insecure_port(address)
        self.server.start()

    def stop(self) -> None:
        """End at once."""
        if self.server:
            self.server.stop(None).wait()
            self.server = None

    def _handler(self, method: Any) -> Any:
        request_class = message_factory.GetMessageClass(method.input_type)
        empty = message_factory.GetMessageClass(method.output_type)()

        def noted(request: Any, context: grpc.ServicerContext) -> Any:
            metadata = {key: str(value) for key, value in context.invocation_metadata()}
            self.calls.append(Call(method.name, request, metadata))
            return self.answers.get(method.name, lambda _: [empty] if method.server_streaming else empty)(request)

        def unary(request: Any, context: grpc.ServicerContext) -> Any:
            with _refusing(context):
                return noted(request, context)

        def stream(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            with _refusing(context):
                yield from noted(request, context)

        options = {
            "request_deserializer": request_class.FromString,
            "response_serializer": lambda message: message.SerializeToString(),
        }
        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(stream, **options)
        return grpc.unary_unary_rpc_method_handler(unary, **options)


@contextmanager
def _refusing(context: grpc.ServicerContext) -> Iterator[None]:
    try:
        yield
    except Refused as refused:
        context.abort_with_status(rpc_status.to_status(refused.status))
