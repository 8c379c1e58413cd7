"""The emulator's server: gRPC on one address, for callers that hold the token."""

import hmac
from collections.abc import Callable
from typing import Any

import grpc

from common.secret import Secret
from local_stack.kms.keys import Keys, KmsError
from local_stack.kms.servicer import SERVICE, Servicer, methods
from local_stack.ports import HOST


async def start(keys: Keys, token: Secret, *, host: str = HOST, port: int = 0) -> tuple[grpc.aio.Server, int]:
    """Start serving on `host` and give the server and its port, a free one for 0. Keep the server: it ends when it is collected.

    Callers send the token as `authorization: Bearer {token}`. Raises RuntimeError when the port is taken.
    """
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    expected = f"Bearer {token.reveal()}".encode()
    handlers = {name: _handler(*method, expected) for name, method in methods(Servicer(keys)).items()}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    bound = server.add_insecure_port(f"{host}:{port}")
    await server.start()
    return server, bound


def _handler(
    method: Callable[[Any], Any], request_type: Any, response_type: Any, expected: bytes
) -> "grpc.RpcMethodHandler[Any, Any]":
    async def serve(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        metadata = dict(context.invocation_metadata() or ())
        if not hmac.compare_digest(str(metadata.get("authorization", "")).encode(), expected):
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "The token of the local stack is required")
        try:
            return method(request_type.deserialize(request))
        except KmsError as error:
            await context.abort(error.code, error.message)

    return grpc.unary_unary_rpc_method_handler(serve, response_serializer=response_type.serialize)
