"""An interceptor as an async context manager around the handler, for all four kinds of method.

In grpc.aio an exception raised in `intercept_service` itself, or by what parses and serializes messages, bypasses the interceptors, so
everything happens inside the wrapped handler, in the task of the RPC; the innermost interceptor parses requests and serializes answers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

import grpc

from common.errors import MethodUnknown
from common.rpc.messages import Messages

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]  # generic for the type checker only

_LONGEST_NAME = 200
"""Characters of an unknown method's name that are logged."""

Context = grpc.aio.ServicerContext[Any, Any]
Around = Callable[[str, Context], AbstractAsyncContextManager[None]]
"""Takes the full method name (`/package.Service/Method`) and the call's context; runs around the handler."""


class AroundInterceptor(grpc.aio.ServerInterceptor):
    """Runs `around` around every handler. Wrapped handlers are kept, one per method."""

    def __init__(self, around: Around, messages: Messages | None = None) -> None:
        """`messages` is for the innermost interceptor; without it messages may be of any size."""
        self._around = around
        self._messages = messages or Messages()
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
        self._wrapped[method] = wrapped = _wrap(handler, method, self._around, self._messages)
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
                handler = _wrap(handler, handler_call_details.method[:_LONGEST_NAME], around, Messages())
        return handler


async def _refuse(requests: Any, context: Context) -> AsyncIterator[bytes]:  # noqa: ARG001
    """Any kind of call hears this: none of its messages is read."""
    raise MethodUnknown
    yield b""  # makes it a stream


def _wrap(handler: Any, method: str, around: Around, messages: Messages) -> Handler:
    parsed, serialized = messages.parser(handler), messages.serializer(handler)
    if handler.response_streaming:
        behavior = handler.stream_stream if handler.request_streaming else handler.unary_stream

        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            async with around(method, context):
                responses = behavior(parsed(request), context)
                if hasattr(responses, "__aiter__"):
                    async for response in responses:
                        yield serialized(response)
                else:  # a handler that writes through the context, as the health service does
                    await responses

        make = (
            grpc.stream_stream_rpc_method_handler if handler.request_streaming else grpc.unary_stream_rpc_method_handler
        )
        return make(stream, None, serialized)

    behavior = handler.stream_unary if handler.request_streaming else handler.unary_unary

    async def unary(request: Any, context: Context) -> Any:
        async with around(method, context):
            return serialized(await behavior(parsed(request), context))

    make_unary = (
        grpc.stream_unary_rpc_method_handler if handler.request_streaming else grpc.unary_unary_rpc_method_handler
    )
    return make_unary(unary, None, serialized)
