"""Tells of runs and their steps what their activities see: a span for each attempt, one for the whole run, and measurements.

What is measured of a run is measured once it has ended, from the state that is also recorded.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from temporalio import activity
from temporalio.exceptions import ApplicationError, is_cancelled_exception
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
    WorkflowInterceptorClassInput,
)

from common.telemetry.span_ids import preset_span_id
from common.telemetry.telemetry import PIPELINE_ID, RUN_ID, TENANT_ID, Telemetry
from pipeline_service.failures import ATTEMPT_CANCELLED, NO_FAILURES
from pipeline_service.run import Run, RunStatus
from pipeline_service.run_attributes import RUN_STATUS, STEP_ID
from pipeline_service.run_metrics import RunMetrics
from pipeline_service.step_result import RunRef, StepResult, StepTask
from pipeline_service.temporal_names import BACKFILL_WORKFLOW, RUN_WORKFLOW, STEP_ACTIVITY
from pipeline_service.temporal_trace import PassesTraceOn, run_span_id, starter_in, within_run

_BEGIN, _ENDS = "begin_run", ("end_run", "close_run")


class RunTelemetry(Interceptor):
    """For a worker: its activities tell, its workflows pass the trace on."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._metrics = RunMetrics(telemetry.meter)

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - the SDK's name
        """Stand between the engine and the activities."""
        return _Activities(next, self._telemetry, self._metrics)

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[PassesTraceOn]:  # noqa: A002, ARG002 - likewise
        """What stands between the engine and workflows."""
        return PassesTraceOn


class _Activities(ActivityInboundInterceptor):
    def __init__(self, following: ActivityInboundInterceptor, telemetry: Telemetry, metrics: RunMetrics) -> None:
        super().__init__(following)
        self._tracer = telemetry.tracer
        self._metrics = metrics

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the SDK's name
        info = activity.info()
        subject = input.args[0] if input.args else None
        starter = starter_in(input.headers)
        with self._span(info, subject, starter) as span:
            try:
                result = await super().execute_activity(input)
            except BaseException as error:
                outcome = _outcome(error)
                if span is not None:
                    _tell_failure(span, outcome)
                if isinstance(subject, StepTask) and info.activity_type == STEP_ACTIVITY:
                    self._metrics.step_attempted(subject.step, outcome)
                    self._tell_begin(subject, _last_result(error))
                raise
            if span is not None and isinstance(result, StepResult):
                span.set_attributes(_done(result))
        if isinstance(subject, StepTask) and info.activity_type == STEP_ACTIVITY:
            self._metrics.step_attempted(subject.step, None)
            self._tell_begin(subject, result)
            self._tell_end_with(subject, result, starter, info)
        elif isinstance(subject, Run) and info.activity_type == _BEGIN:
            self._metrics.run_begun(subject)
        elif isinstance(subject, Run) and info.activity_type in _ENDS:
            self._tell_end(subject, starter, info)
        return result

    @contextmanager
    def _span(self, info: activity.Info, subject: object, starter: Context | None) -> Iterator[Span | None]:
        """The span of an attempt, where its run belongs to a trace."""
        if starter is None or info.workflow_run_id is None:
            yield None
            return
        with self._tracer.start_as_current_span(
            f"RunActivity:{info.activity_type}",
            within_run(starter, info.workflow_run_id),
            SpanKind.CONSUMER,
            {"convergence.attempt": info.attempt, **_names(subject)},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            yield span

    def _tell_begin(self, task: StepTask, result: object) -> None:
        """Count a run whose begin this step has recorded, and says so to the run: any other is counted with the activity of its own."""
        if task.begins is not None and isinstance(result, StepResult) and result.has_begun_run:
            self._metrics.run_begun(task.begins)

    def _tell_end_with(self, task: StepTask, result: object, starter: Context | None, info: activity.Info) -> None:
        """Tell of a run that this step has ended, and says so to the run: any other is told of with the activity of its own."""
        if task.closes is not None and isinstance(result, StepResult) and result.run_end_time:
            self._tell_end(task.closes.ended(task.step.step_id, result), starter, info)

    def _tell_end(self, run: Run, starter: Context | None, info: activity.Info) -> None:
        """Count a run whose end is recorded, and tell its span. Told again where its recording was repeated."""
        self._metrics.run_ended(run)
        if starter is not None:
            self._tell_run(run, starter, info)

    def _tell_run(self, run: Run, starter: Context, info: activity.Info) -> None:
        """The span of a run that has ended, from its creation on. Told again, with the same id, where its recording was repeated."""
        kind = RUN_WORKFLOW if run.state.backfill is None else BACKFILL_WORKFLOW
        with preset_span_id(run_span_id(info.workflow_run_id or "")):
            span = self._tracer.start_span(
                f"RunWorkflow:{kind}",
                starter,
                SpanKind.CONSUMER,
                {**_names(run), RUN_STATUS: run.state.status},
                start_time=_nanoseconds(run.create_time),
            )
        if run.state.error is not None:
            span.set_attribute("error.type", run.state.error.reason)
        if run.state.status is RunStatus.FAILED:
            span.set_status(Status(StatusCode.ERROR))
        span.end(_nanoseconds(run.state.end_time) if run.state.end_time else None)


def _names(subject: object) -> Mapping[str, str]:
    """What an activity is about: names and ids, nothing that a caller gave as a value."""
    if isinstance(subject, StepTask):
        return {**_names(subject.run), STEP_ID: subject.step.step_id}
    if isinstance(subject, RunRef):
        return _run_names(subject.tenant_id, subject.pipeline_id, subject.pipeline_logging_id)
    if isinstance(subject, Run):
        header = subject.header
        return _run_names(header.tenant_id, header.pipeline_id, subject.pipeline_logging_id)
    return {}


def _run_names(tenant_id: str, pipeline_id: str, pipeline_logging_id: str) -> Mapping[str, str]:
    return {TENANT_ID: tenant_id, PIPELINE_ID: pipeline_id, RUN_ID: pipeline_logging_id}


def _done(result: StepResult) -> Mapping[str, int]:
    return {
        "convergence.rows_staged": result.rows_staged,
        "convergence.rows_written": result.rows_written,
        "convergence.bytes_processed": result.bytes_processed,
        "convergence.bytes_billed": result.bytes_billed,
    }


def _outcome(error: BaseException) -> str:
    """The reason that an attempt ended for, as its run is told."""
    reason = error.type if isinstance(error, ApplicationError) else None
    if is_cancelled_exception(error) or reason == ATTEMPT_CANCELLED:
        return "CANCELLED"
    return reason or "INTERNAL"


def _last_result(error: BaseException) -> object:
    """What a step did whose attempt failed and is the last; None where another follows."""
    if isinstance(error, ApplicationError) and error.non_retryable and error.details:
        return error.details[0]
    return None


def _tell_failure(span: Span, outcome: str) -> None:
    span.set_attribute("error.type", outcome)
    if outcome not in NO_FAILURES and outcome != "CANCELLED":
        span.set_status(Status(StatusCode.ERROR))


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1000
