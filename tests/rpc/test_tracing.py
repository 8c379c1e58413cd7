"""The SDK's way to go on with a trace: the calls of a channel carry it beside their own metadata, and nothing where there is none."""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from opentelemetry import context as otel
from opentelemetry import trace

from convergence.pipeline.v1 import pipeline_service_pb2 as pb2
from convergence.pipeline.v1.pipeline_service_pb2_grpc import PipelineServiceStub
from convergence.tracing import trace_metadata, tracing_interceptors
from tests.rpc.fake_pipelines import fake_pipelines

OURS = trace.SpanContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, False, trace.TraceFlags(1))
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
KEY = (("x-api-key", "acme/1"),)


@contextmanager
def within_our_trace() -> Iterator[None]:
    token = otel.attach(trace.set_span_in_context(trace.NonRecordingSpan(OURS)))
    try:
        yield
    finally:
        otel.detach(token)


async def test_calls_over_such_a_channel_carry_the_trace_that_is_current_and_their_own_metadata() -> None:
    async with fake_pipelines() as fake:
        address = f"127.0.0.1:{fake.server.port}"
        async with grpc.aio.insecure_channel(address, interceptors=tracing_interceptors()) as channel:
            stub = PipelineServiceStub(channel)
            with within_our_trace():
                await stub.ListTemplates(pb2.ListTemplatesRequest(), metadata=KEY, timeout=20)
                async for _ in stub.WatchRun(pb2.WatchRunRequest(), metadata=KEY, timeout=20):
                    break
            await stub.ListTemplates(pb2.ListTemplatesRequest(), metadata=KEY, timeout=20)
    listed, watched, listed_again = fake.pipelines.metadata
    assert listed["traceparent"] == watched["traceparent"] == TRACEPARENT
    assert listed["x-api-key"] == watched["x-api-key"] == "acme/1"
    assert "traceparent" not in listed_again


def test_a_single_call_may_name_the_trace_by_itself() -> None:
    assert trace_metadata() == ()
    with within_our_trace():
        assert trace_metadata() == (("traceparent", TRACEPARENT),)
