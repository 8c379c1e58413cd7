"""What is told of callers whom nobody knows: measurements of each call, and spans only of traces that would be kept anyway."""

import asyncio
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from common.errors import Unauthenticated
from common.rpc.caller import Caller
from common.telemetry.telemetry import Telemetry
from convergence.pipeline.v1 import pipeline_service_pb2 as pb2
from tests.otlp_receiver import Receiver, receiver
from tests.rpc.bare_server import bare_server
from tests.rpc.fake_pipelines import Fake, fake_pipelines
from tests.rpc.statuses import outcome_of
from tests.rpc.test_call_log import outcome_code
from tests.rpc.test_call_telemetry import PARENT, TRACEPARENT, telemetry_to
from tests.rpc.test_interceptors import GOOD, KINDS, POOR, call, serving
from tests.waiting import until

LOW = f"00-{'0' * 31}1-{PARENT}-01"
"""A trace that any share above 0 keeps: shares are of the lower 64 bits."""
HIGH = f"00-{'f' * 32}-{PARENT}-01"
"""One that none below 1 keeps."""
STATE = ",".join(f"v{number}={'x' * 250}" for number in range(28))
"""7 kB, of which each entry is as it should be."""


@pytest.fixture
def otlp() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


def traced_call(fake: Fake, key: str) -> Any:
    metadata = (("x-api-key", key), ("traceparent", TRACEPARENT))
    return fake.stub.ListTemplates(pb2.ListTemplatesRequest(), metadata=metadata, timeout=30)


class LooksUp:
    """Finds nobody, or never ends, and tells that it looks, as a warehouse that is asked tells."""

    def __init__(self, telemetry: Telemetry, found: asyncio.Event) -> None:
        self._tracer = telemetry.tracer
        self._found = found
        self.asked = 0

    async def authenticate(self, api_key: str, scope: str | None) -> Caller:
        self._tracer.start_span("warehouse read_rows").end()
        self.asked += 1
        await self._found.wait()
        raise Unauthenticated


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key", [(), (("x-api-key", "nobodys"),)])
async def test_who_has_no_key_has_no_trace_kept_and_is_counted_all_the_same(
    otlp: Receiver, kind: str, key: Any
) -> None:
    async with telemetry_to(otlp.address, trace_sample_ratio=0) as telemetry, serving(telemetry) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await call(channel, kind, b"", *key, ("traceparent", TRACEPARENT), ("tracestate", STATE))
    assert otlp.spans == []
    assert otlp.total("rpc.server.call.duration", rpc_response_status_code="UNAUTHENTICATED") == 1
    assert otlp.total("convergence.calls.refused", convergence_reason="API_KEY_INVALID") == 1


@pytest.mark.parametrize(("traceparent", "ratio", "kept"), [(LOW, 0.5, 1), (HIGH, 0.5, 0), (HIGH, 1, 1), (LOW, 0, 0)])
async def test_a_trace_of_a_stranger_is_kept_where_it_would_be_had_it_begun_here(
    otlp: Receiver, traceparent: str, ratio: float, kept: int
) -> None:
    async with telemetry_to(otlp.address, trace_sample_ratio=ratio) as telemetry, serving(telemetry) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await call(channel, "unary_unary", b"", ("traceparent", traceparent))
    assert len(otlp.spans) == kept


async def test_who_is_known_has_a_trace_kept_also_where_the_call_is_refused(otlp: Receiver) -> None:
    async with telemetry_to(otlp.address, trace_sample_ratio=0) as telemetry, serving(telemetry) as channel:
        for key, request in ((POOR, b""), (GOOD, b"invalid"), (GOOD, b"")):
            started = call(channel, "unary_unary", request, ("x-api-key", key), ("traceparent", TRACEPARENT))
            await asyncio.gather(started, return_exceptions=True)
    assert sorted(span.attributes["rpc.response.status_code"] for span in otlp.spans) == [
        "INVALID_ARGUMENT",
        "OK",
        "PERMISSION_DENIED",
    ]


async def test_a_method_that_there_is_not_has_no_trace_kept(otlp: Receiver) -> None:
    async with (
        telemetry_to(otlp.address, trace_sample_ratio=0) as telemetry,
        bare_server(telemetry=telemetry) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        unknown: Any = channel.unary_unary("/no.Such/One")
        with pytest.raises(grpc.aio.AioRpcError):
            await unknown(b"", metadata=(("x-api-key", "good"), ("traceparent", TRACEPARENT)), timeout=20)
    assert otlp.spans == []
    assert otlp.total("rpc.server.call.duration", rpc_method="_OTHER") == 1


async def test_a_call_that_is_refused_before_its_key_is_looked_at_has_no_trace_kept(otlp: Receiver) -> None:
    async with (
        telemetry_to(otlp.address, trace_sample_ratio=0) as telemetry,
        fake_pipelines(telemetry=telemetry, max_concurrent_calls=1) as fake,
    ):
        fake.pipelines.open.clear()
        held = asyncio.create_task(outcome_of(fake.call()))
        await until(lambda: fake.pipelines.at_work == 1)
        assert (await outcome_of(traced_call(fake, "good")))[0] == "RESOURCE_EXHAUSTED"
        fake.pipelines.open.set()
        assert (await held)[0] == "OK"
    assert otlp.spans == []
    assert otlp.total("convergence.calls.refused", convergence_reason="OVERLOADED") == 1


@pytest.mark.parametrize("ends", ["refused", "cancelled"])
async def test_what_looks_a_key_up_is_told_of_no_more_than_the_call(otlp: Receiver, ends: str) -> None:
    async with telemetry_to(otlp.address, trace_sample_ratio=0) as telemetry:
        found = asyncio.Event()
        keys = LooksUp(telemetry, found)
        async with fake_pipelines(telemetry=telemetry, authenticator=keys) as fake:
            started = traced_call(fake, "guess")
            asked = asyncio.create_task(outcome_code(started))
            await until(lambda: keys.asked == 1)
            if ends == "refused":
                found.set()
                assert await asked == "UNAUTHENTICATED"
            else:
                started.cancel()
                assert await asked == "CANCELLED"
    assert otlp.spans == []
    assert otlp.total("rpc.server.call.duration") == 1


@pytest.mark.parametrize(("length", "kept"), [(512, True), (513, False)])
async def test_a_trace_state_is_passed_on_up_to_512_characters_and_beyond_left_out(
    otlp: Receiver, length: int, kept: bool
) -> None:
    state = STATE[:length]
    async with telemetry_to(otlp.address) as telemetry, serving(telemetry) as channel:
        await call(
            channel, "unary_unary", b"", ("x-api-key", GOOD), ("traceparent", TRACEPARENT), ("tracestate", state)
        )
    assert [span.parent_id for span in otlp.spans] == [PARENT]
    assert (b"x" * 250 in otlp.everything) is kept
