"""What goes around every call, for all four kinds of method: layers, each of them a coroutine that awaits what is inside it.

In grpc.aio an exception raised in `intercept_service` itself, or by what parses and serializes messages, bypasses the interceptors, so
everything happens inside the wrapped handler, in the task of the RPC; what is innermost parses requests and serializes answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import grpc

from common.errors import MethodUnknown
from common.rpc.messages import Messages

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]  # generic for the type checker only

_LONGEST_NAME = 200
"""Characters of an unknown method's name that are logged."""

Context = grpc.aio.ServicerContext[Any, Any]


class Call:
    """One call, as its layers see it: what came over the wire (bytes, or a stream of them), gRPC's context, and the metadata."""

    __slots__ = ("context", "metadata", "request")

    def __init__(self, request: Any, context: Context) -> None:
        self.request = request
        self.context = context
        self.metadata = context.invocation_metadata() or ()  # gRPC makes it anew whenever it is asked


Handle = Callable[[Call], Awaitable[bytes | None]]
"""Handles the calls of one method: gives the answer, or None once all answers of a stream are sent."""
Layer = Callable[[str, Handle], Handle]
"""Takes the full name of a method (`/package.Service/Method`) and what handles its calls: gives what handles them within the layer, or the
same where it has nothing to do with that method. What it finds out of the name is found out once."""


class AroundCalls(grpc.aio.ServerInterceptor):
    """Puts layers around every handler, the outermost first. Wrapped handlers are kept, one per method."""

    def __init__(self, layers: Sequence[Layer], *, around_unknown: Sequence[Layer], messages: Messages) -> None:
        """A call of a method that the server does not have is refused as any other, within the layers `around_unknown`. Nothing is kept of
        it: names are whatever callers think of."""
        self._layers = layers
        self._around_unknown = around_unknown
        self._messages = messages
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Give the wrapped handler, or one that refuses."""
        method = handler_call_details.method
        wrapped = self._wrapped.get(method)
        if wrapped is not None:
            return wrapped
        handler = await continuation(handler_call_details)
        if handler is None:
            handle = _within(self._around_unknown, method[:_LONGEST_NAME], _refuse)
            return grpc.stream_stream_rpc_method_handler(_behavior(handle), None, None)
        handle = _within(self._layers, method, _handle(handler, self._messages))
        self._wrapped[method] = wrapped = _handler_like(handler, _behavior(handle), self._messages)
        return wrapped


async def _refuse(call: Call) -> None:  # noqa: ARG001
    """Any kind of call hears this: none of its messages is read."""
    raise MethodUnknown


def _within(layers: Sequence[Layer], method: str, handle: Handle) -> Handle:
    for layer in reversed(layers):
        handle = layer(method, handle)
    return handle


def _handle(handler: Any, messages: Messages) -> Handle:
    """The innermost: parses the request, has the servicer's method handle it, and serializes what it answers."""
    parsed = messages.parser(handler)
    if handler.response_streaming:
        respond = handler.stream_stream if handler.request_streaming else handler.unary_stream

        async def stream(call: Call) -> None:
            responses = respond(parsed(call.request), call.context)
            if hasattr(responses, "__aiter__"):
                await _send(responses, call.context)
            else:  # a handler that writes through the context, as the health service does
                await responses

        return stream

    answer = handler.stream_unary if handler.request_streaming else handler.unary_unary
    serialized = messages.serializer(handler)

    async def unary(call: Call) -> bytes:
        return serialized(await answer(parsed(call.request), call.context))

    return unary


async def _send(responses: Any, context: Context) -> None:
    """Send a stream; one that is cut off ends here and now, in the task of its call."""
    async with aclosing(responses):
        async for response in responses:
            await context.write(response)


def _behavior(handle: Handle) -> Any:
    """The layers as gRPC calls them. Sent messages are serialized by what the context writes with."""

    async def behavior(request: Any, context: Context) -> bytes | None:
        return await handle(Call(request, context))

    return behavior


def _handler_like(handler: Any, behavior: Any, messages: Messages) -> Handler:
    """A handler of the same kind, which takes and gives bytes but for a stream's answers."""
    serialized = messages.serializer(handler)
    if handler.response_streaming:
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(behavior, None, serialized)
        return grpc.unary_stream_rpc_method_handler(behavior, None, serialized)
    if handler.request_streaming:
        return grpc.stream_unary_rpc_method_handler(behavior, None, None)
    return grpc.unary_unary_rpc_method_handler(behavior, None, None)
