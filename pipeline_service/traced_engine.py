"""The run engine, with a span for every run that is started, whose trace the run goes on with."""

from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer
from temporalio.client import Client

from common.errors import ConvergenceError
from common.telemetry.telemetry import PIPELINE_ID, RUN_ID, TENANT_ID, Telemetry
from pipeline_service.backfill_plan import BackfillPlan
from pipeline_service.engine import Started
from pipeline_service.gate_door import GateDoor
from pipeline_service.plan import Plan
from pipeline_service.temporal_engine import TemporalEngine
from pipeline_service.temporal_names import BACKFILL_WORKFLOW, RUN_WORKFLOW


class TracedEngine(TemporalEngine):
    """A TemporalEngine that tells of what it starts."""

    def __init__(self, client: Client, *, task_queue: str, door: GateDoor, tracer: Tracer) -> None:
        super().__init__(client, task_queue=task_queue, door=door)
        self._tracer = tracer

    async def start(self, workflow_id: str, plan: Plan | BackfillPlan, *, start_id: str | None = None) -> Started:
        """See RunEngine. Of a run that was joined the trace is its first caller's; the span names the run."""
        name = RUN_WORKFLOW if isinstance(plan, Plan) else BACKFILL_WORKFLOW
        attributes = {TENANT_ID: plan.header.tenant_id, PIPELINE_ID: plan.header.pipeline_id}
        with self._tracer.start_as_current_span(
            f"StartWorkflow:{name}",
            kind=SpanKind.PRODUCER,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                started = await super().start(workflow_id, plan, start_id=start_id)
            except ConvergenceError as error:
                span.set_attribute("error.type", error.reason)
                span.set_status(Status(StatusCode.ERROR))
                raise
            span.set_attribute(RUN_ID, started.pipeline_logging_id)
            span.set_attribute("convergence.already_running", started.already_running)
            return started


def open_engine(client: Client, *, task_queue: str, door: GateDoor, telemetry: Telemetry | None) -> TemporalEngine:
    """The engine, traced where there is somebody to tell."""
    if telemetry is None:
        return TemporalEngine(client, task_queue=task_queue, door=door)
    return TracedEngine(client, task_queue=task_queue, door=door, tracer=telemetry.tracer)
