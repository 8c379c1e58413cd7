"""The interceptors cover every method of every kind: over a real connection, for each of the four."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
import structlog
from structlog.testing import capture_logs

from common.clock import SystemClock
from common.errors import InvalidInput, Unauthenticated, Violation
from common.rpc.access import Access
from common.rpc.caller import Caller, current_caller
from common.rpc.interceptors import interceptors
from common.rpc.settings import ServerSettings
from common.rpc.under_way import CallsUnderWay
from common.telemetry.telemetry import Telemetry
from tests.rpc.statuses import refusal_of
from tests.waiting import until

SERVICE = "test.Kinds"
KINDS = ["unary_unary", "unary_stream", "stream_unary", "stream_stream"]
SCOPE = "runs:read"
GOOD, POOR = "good-key", "poor-key"

_log = structlog.get_logger(__name__)


class Keys:
    async def authenticate(self, api_key: str, scope: str | None) -> Caller:
        assert scope == SCOPE
        if api_key not in (GOOD, POOR):
            raise Unauthenticated
        return Caller("key_1", "acme", frozenset({SCOPE} if api_key == GOOD else ()))


async def _answer(request: bytes) -> bytes:
    """What every handler does: tell who calls, or wait for ever, or fail, as it is told to."""
    match request:
        case b"invalid":
            raise InvalidInput([Violation("a", "is bad"), Violation("b", "is worse")])
        case b"unforeseen":
            raise RuntimeError("secret detail")
        case b"wait":
            _log.info("waiting")
            await asyncio.Event().wait()
    return f"{current_caller().principal} of {current_caller().tenant_id}".encode()


async def _unary_unary(request: bytes, _: Any) -> bytes:
    return await _answer(request)


async def _unary_stream(request: bytes, _: Any) -> AsyncIterator[bytes]:
    task = asyncio.current_task()
    try:
        yield await _answer(request)
        while request == b"endless":
            yield bytes(100_000)
    finally:
        _log.info("stream ended", in_its_task=asyncio.current_task() is task)


async def _stream_unary(requests: AsyncIterator[bytes], _: Any) -> bytes:
    return [await _answer(request) async for request in requests][-1]


async def _stream_stream(requests: AsyncIterator[bytes], _: Any) -> AsyncIterator[bytes]:
    async for request in requests:
        yield await _answer(request)


def _parse(body: bytes) -> bytes:
    """A deserializer that refuses what is not UTF-8."""
    body.decode()
    return body


@asynccontextmanager
async def serving(telemetry: Telemetry | None = None) -> AsyncIterator[grpc.aio.Channel]:
    rules = {f"/{SERVICE}/{kind}": Access(SCOPE) for kind in KINDS}
    around_calls = interceptors(
        ServerSettings(_env_file=None, listen_address="127.0.0.1:0"),
        authenticator=Keys(),
        rules=rules,
        watches=(),
        streams=[method for method in rules if "stream" in method],
        clock=SystemClock(),
        under_way=CallsUnderWay(),
        telemetry=telemetry,
    )
    server = grpc.aio.server(interceptors=around_calls)
    handlers: dict[str, Any] = {
        "unary_unary": grpc.unary_unary_rpc_method_handler(_unary_unary, _parse),
        "unary_stream": grpc.unary_stream_rpc_method_handler(_unary_stream, _parse),
        "stream_unary": grpc.stream_unary_rpc_method_handler(_stream_unary, _parse),
        "stream_stream": grpc.stream_stream_rpc_method_handler(_stream_stream, _parse),
        "without_rule": grpc.unary_unary_rpc_method_handler(_unary_unary),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(None)


async def call(channel: grpc.aio.Channel, kind: str, request: bytes, *metadata: tuple[str, str]) -> tuple[bytes, Any]:
    """Call a method of a kind: its last answer and its trailing metadata."""
    method = getattr(channel, kind if kind in KINDS else "unary_unary")(f"/{SERVICE}/{kind}")
    argument: Any = iter([request]) if kind.startswith("stream") else request
    started = method(argument, metadata=metadata, timeout=5)
    answer = [part async for part in started][-1] if kind.endswith("stream") else await started
    return answer, await started.trailing_metadata()


def _summary(error: grpc.aio.AioRpcError) -> tuple[str, str, tuple[str, ...]]:
    refusal = refusal_of(error)
    return refusal.code, refusal.reason, refusal.fields


@pytest.mark.parametrize("kind", KINDS)
async def test_a_good_key_reaches_the_handler_as_its_holder(kind: str) -> None:
    async with serving() as channel:
        answer, _ = await call(channel, kind, b"", ("x-api-key", GOOD))
        assert answer == b"key_1 of acme"


@pytest.mark.parametrize("kind", [*KINDS, "without_rule"])
@pytest.mark.parametrize("metadata", [(), (("x-api-key", "bad"),), (("x-api-key", GOOD), ("x-api-key", GOOD))])
async def test_without_a_good_key_every_kind_refuses_alike(kind: str, metadata: Any) -> None:
    async with serving() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(channel, kind, b"", *metadata)
        assert _summary(refused.value) == ("UNAUTHENTICATED", "API_KEY_INVALID", ())


@pytest.mark.parametrize("kind", KINDS)
async def test_a_key_without_the_scope_is_refused(kind: str) -> None:
    async with serving() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(channel, kind, b"", ("x-api-key", POOR))
        assert _summary(refused.value) == ("PERMISSION_DENIED", "SCOPE_MISSING", ())


@pytest.mark.parametrize("kind", KINDS)
async def test_an_error_of_a_handler_becomes_its_status_with_all_details(kind: str) -> None:
    async with serving() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(channel, kind, b"invalid", ("x-api-key", GOOD))
        assert _summary(refused.value) == ("INVALID_ARGUMENT", "FIELD_INVALID", ("a", "b"))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_request_that_does_not_parse_is_malformed_and_its_caller_asked_for_a_key_first(kind: str) -> None:
    async with serving() as channel:
        for metadata, expected in (
            ((), ("UNAUTHENTICATED", "API_KEY_INVALID", ())),
            ((("x-api-key", GOOD),), ("INVALID_ARGUMENT", "FIELD_INVALID", ())),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call(channel, kind, b"\xff", *metadata)
            assert _summary(refused.value) == expected


async def test_a_stream_whose_caller_leaves_while_it_sends_ends_at_once_in_the_task_of_its_call() -> None:
    with capture_logs() as events:
        async with serving() as channel:
            method: Any = channel.unary_stream(f"/{SERVICE}/unary_stream")
            endless = method(b"endless", metadata=(("x-api-key", GOOD),))
            await endless.read()
            endless.cancel()
            await until(lambda: any(event["event"] == "call" for event in events))
    told = [(event["event"], event.get("in_its_task"), event.get("status")) for event in events]
    assert told == [("stream ended", True, None), ("call", None, "CANCELLED")]


@pytest.mark.parametrize("kind", KINDS)
async def test_what_nobody_foresaw_tells_the_caller_nothing(kind: str) -> None:
    async with serving() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(channel, kind, b"unforeseen", ("x-api-key", GOOD))
        assert _summary(refused.value) == ("INTERNAL", "INTERNAL", ())
        assert "secret detail" not in repr(refused.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("request_text", [b"invalid", b"unforeseen"])
async def test_a_refusal_carries_the_correlation_id_too(kind: str, request_text: bytes) -> None:
    async with serving() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(channel, kind, request_text, ("x-api-key", GOOD), ("x-correlation-id", "abc"))
        assert dict(refused.value.trailing_metadata())["x-correlation-id"] == "abc"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("given", "kept"), [("abc.DEF-1_2", True), ("white space", False), ("x" * 65, False)])
async def test_a_correlation_id_is_accepted_or_made_and_comes_back(kind: str, given: str, kept: bool) -> None:
    async with serving() as channel:
        _, trailing = await call(channel, kind, b"", ("x-api-key", GOOD), ("x-correlation-id", given))
        returned = dict(trailing)["x-correlation-id"]
        assert (returned == given) is kept
        assert returned
