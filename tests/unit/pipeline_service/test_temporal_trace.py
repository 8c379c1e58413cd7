"""What the engine keeps of a trace."""

from collections.abc import Iterator

import pytest
from opentelemetry import context as otel
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    get_current_span,
    set_span_in_context,
)
from temporalio.converter import PayloadConverter

from pipeline_service.temporal_trace import TRACE_HEADER, header_of_current_span, starter_in

TEXT = "text-of-a-caller"
SPAN = SpanContext(
    0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, True, TraceFlags(1), TraceState([("a", TEXT)])
)


@pytest.fixture
def within_a_trace() -> Iterator[None]:
    token = otel.attach(set_span_in_context(NonRecordingSpan(SPAN)))
    yield
    otel.detach(token)


@pytest.mark.usefixtures("within_a_trace")
def test_the_engine_keeps_the_ids_of_a_trace_and_no_text_of_a_caller() -> None:
    header = header_of_current_span()
    carried = PayloadConverter.default.from_payload(header[TRACE_HEADER], dict[str, str])
    assert carried == {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    starter = starter_in(header)
    assert starter is not None
    found = get_current_span(starter).get_span_context()
    assert (found.trace_id, found.span_id, len(found.trace_state)) == (SPAN.trace_id, SPAN.span_id, 0)


def test_without_a_trace_there_is_no_header() -> None:
    assert header_of_current_span() == {}
