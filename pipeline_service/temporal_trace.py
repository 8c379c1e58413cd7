"""How a trace goes through the engine: from who starts a run, in a header of its workflow, to every activity, on whichever worker.

Workflow code makes no spans, so that replaying it tells nothing twice: it passes the header on as it is, and the activities do the rest.
The span of the run itself is told when the run has ended, but its id is known from the beginning: it follows from the engine's run id.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, get_current_span, set_span_in_context
from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadConverter
from temporalio.worker import StartActivityInput, WorkflowInboundInterceptor, WorkflowOutboundInterceptor

from common.telemetry.telemetry import extract_trace, inject_traceparent

TRACE_HEADER = "_tracer-data"
"""The header's name, and what is in it: the `traceparent` of W3C Trace Context, as Temporal's own SDKs write it. `tracestate`, which they
write too, is text of a caller's: histories do not keep it."""


def header_of_current_span() -> Mapping[str, Payload]:
    """The headers of a workflow that is started within the current span: none where there is no span."""
    headers = inject_traceparent()
    return {TRACE_HEADER: PayloadConverter.default.to_payload(headers)} if headers else {}


def starter_in(headers: Mapping[str, Payload]) -> Context | None:
    """The context of whoever started the workflow; None where nobody told of it."""
    header = headers.get(TRACE_HEADER)
    if header is None:
        return None
    context = extract_trace(PayloadConverter.default.from_payload(header, dict[str, str]))
    return context if get_current_span(context).get_span_context().is_valid else None


def run_span_id(engine_run_id: str) -> int:
    """The id of a run's span."""
    return int.from_bytes(hashlib.sha256(engine_run_id.encode()).digest()[:8]) or 1


def within_run(starter: Context, engine_run_id: str) -> Context:
    """The context of what happens in a run that `starter` started."""
    span = get_current_span(starter).get_span_context()
    run = SpanContext(span.trace_id, run_span_id(engine_run_id), True, span.trace_flags, span.trace_state)
    return set_span_in_context(NonRecordingSpan(run), starter)


class PassesTraceOn(WorkflowInboundInterceptor):
    """Gives a workflow's header to its activities."""

    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        """Stand between the workflow and the engine."""
        super().init(_ToActivities(outbound))


class _ToActivities(WorkflowOutboundInterceptor):
    def start_activity(self, input: StartActivityInput) -> workflow.ActivityHandle[Any]:  # noqa: A002 - the SDK's name
        header = workflow.info().headers.get(TRACE_HEADER)
        if header is not None:
            input.headers = {**input.headers, TRACE_HEADER: header}
        return super().start_activity(input)
