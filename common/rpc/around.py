"""An interceptor as an async context manager around the handler, for all four kinds of method.

In grpc.aio an exception raised in `intercept_service` itself, or by a handler's deserializer, bypasses the interceptors, so everything
happens inside the wrapped handler, in the task of the RPC; the innermost interceptor parses the request.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

import grpc

from common.errors import InvalidInput, MethodUnknown

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]  # generic for the type checker only

_LONGEST_NAME = 200
"""Characters of an unknown method's name that are logged."""

Context = grpc.aio.ServicerContext[Any, Any]
Around = Callable[[str, Context], AbstractAsyncContextManager[None]]
"""Takes the full method name (`/package.Service/Method`) and the call's context; runs around the handler."""


class AroundInterceptor(grpc.aio.ServerInterceptor):
    """Runs `around` around every handler. Wrapped handlers are kept, one per method."""

    def __init__(self, around: Around) -> None:
        self._around = around
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Give the wrapped handler; an unknown method has none and stays UNIMPLEMENTED."""
        method = handler_call_details.method
        if method in self._wrapped:
            return self._wrapped[method]
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        self._wrapped[method] = wrapped = _wrap(handler, method, self._around)
        return wrapped


class UnknownMethods(grpc.aio.ServerInterceptor):
    """Goes first: answers a method that the server does not have as any other call is refused, within these `arounds`, outermost first.
    Nothing is kept of it: names are whatever callers think of."""

    def __init__(self, *arounds: Around) -> None:
        self._arounds = arounds

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Give the server's handler, or one that refuses."""
        handler = await continuation(handler_call_details)
        if handler is None:
            handler = grpc.stream_stream_rpc_method_handler(_refuse, None, None)
            for around in reversed(self._arounds):
                handler = _wrap(handler, handler_call_details.method[:_LONGEST_NAME], around)
        return handler


async def _refuse(requests: Any, context: Context) -> AsyncIterator[bytes]:  # noqa: ARG001
    """Any kind of call hears this: none of its messages is read."""
    raise MethodUnknown
    yield b""  # makes it a stream


def _wrap(handler: Any, method: str, around: Around) -> Handler:
    parsed = _parser(handler)
    if handler.response_streaming:
        behavior = handler.stream_stream if handler.request_streaming else handler.unary_stream

        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            async with around(method, context):
                responses = behavior(parsed(request), context)
                if hasattr(responses, "__aiter__"):
                    async for response in responses:
                        yield response
                else:  # a handler that writes through the context, as the health service does
                    await responses

        make = (
            grpc.stream_stream_rpc_method_handler if handler.request_streaming else grpc.unary_stream_rpc_method_handler
        )
        return make(stream, None, handler.response_serializer)

    behavior = handler.stream_unary if handler.request_streaming else handler.unary_unary

    async def unary(request: Any, context: Context) -> Any:
        async with around(method, context):
            return await behavior(parsed(request), context)

    make_unary = (
        grpc.stream_unary_rpc_method_handler if handler.request_streaming else grpc.unary_unary_rpc_method_handler
    )
    return make_unary(unary, None, handler.response_serializer)


def _parser(handler: Any) -> Callable[[Any], Any]:
    """What makes the handler's request of what came over the wire. Raises InvalidInput for what is no such message."""
    deserialize = handler.request_deserializer
    if deserialize is None:  # a wrapped handler, which parses by itself
        return lambda request: request

    def parse(body: bytes) -> Any:
        try:
            return deserialize(body)
        except Exception as error:
            raise InvalidInput([], message="The request is no message of the type that this method takes") from error

    if handler.request_streaming:
        return lambda bodies: (parse(body) async for body in bodies)
    return parse
