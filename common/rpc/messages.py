"""Parses requests and serializes answers within limits of size, inside all layers: what gRPC does of it by itself fails beyond their
reach, without details."""

from collections.abc import Callable
from typing import Any

from common.errors import InvalidInput, MessageTooLarge


class Messages:
    """What becomes of a handler's messages. A handler without a deserializer or serializer takes and gives bytes."""

    def __init__(self, *, max_request_bytes: int, max_response_bytes: int) -> None:
        self._max_request_bytes = max_request_bytes
        self._max_response_bytes = max_response_bytes

    def parser(self, handler: Any) -> Callable[[Any], Any]:
        """What makes the handler's request, or its stream of them, of what came over the wire. Raises MessageTooLarge, and InvalidInput for
        what is no such message."""
        deserialize = handler.request_deserializer

        def parse(body: bytes) -> Any:
            if len(body) > self._max_request_bytes:
                raise MessageTooLarge("request", len(body), self._max_request_bytes)
            try:
                return deserialize(body)
            except Exception as error:
                raise InvalidInput(
                    [], message="The request is no message of the type that this method takes"
                ) from error

        if deserialize is None:
            return lambda request: request
        if handler.request_streaming:
            return lambda bodies: (parse(body) async for body in bodies)
        return parse

    def serializer(self, handler: Any) -> Callable[[Any], bytes]:
        """What makes bytes of the handler's answers. Raises MessageTooLarge."""
        serialize = handler.response_serializer

        def serialized(answer: Any) -> bytes:
            body: bytes = answer if isinstance(answer, bytes) else serialize(answer)
            if len(body) > self._max_response_bytes:
                raise MessageTooLarge("answer", len(body), self._max_response_bytes)
            return body

        return serialized
