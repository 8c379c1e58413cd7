"""Between the wire and the use cases: protobuf in, protobuf out, nothing else."""

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol

from google.protobuf.struct_pb2 import ListValue, NullValue, Struct, Value

from common.decimal_text import decimal_text
from common.errors import InvalidInput, Violation
from common.paging import Page
from common.rpc.times import timestamp
from common.templates.catalog import CatalogEntry
from common.templates.parameter_spec import ParameterSpec
from convergence.errors.v1.error_reason_pb2 import ErrorReason
from convergence.pipeline.v1 import pipeline_service_pb2 as pb2
from convergence.pipeline.v1 import run_pb2, template_pb2
from pipeline_service.backfill_template import BackfillOptions
from pipeline_service.convert_backfill import backfill_to_proto
from pipeline_service.engine import Started
from pipeline_service.read_table import TablePage
from pipeline_service.run import CheckOutcome, Run, RunError, RunStatus, Step
from pipeline_service.run_filter import RunFilter
from pipeline_service.run_template import RunOptions

MAX_MESSAGE_BYTES = 1_000_000
"""Of rows in one message; gRPC clients refuse more than 4 MB unless told otherwise."""
_STARTED = "Templated pipeline triggered successfully"
_JOINED = "Already running: returning the active run"


class _RunFields(Protocol):
    """What RunTemplateRequest and RunPipelineRequest have in common."""

    date: str
    trigger_by: str
    request_id: str

    @property
    def parameters(self) -> Mapping[str, str]: ...


def options_from_proto(request: _RunFields) -> RunOptions:
    """What a run may be given."""
    return RunOptions(request.date, request.trigger_by, dict(request.parameters), request.request_id)


def backfill_options_from_proto(request: pb2.BackfillTemplateRequest) -> BackfillOptions:
    """What a backfill may be given."""
    return BackfillOptions(
        start_date=request.start_date,
        end_date=request.end_date,
        max_parallel=request.max_parallel,
        skip_complete=request.skip_complete,
        trigger_by=request.trigger_by,
        parameters=dict(request.parameters),
        request_id=request.request_id,
    )


def started_to_proto(started: Started) -> pb2.RunTemplateResponse:
    """The answer of RunTemplate and RunPipeline."""
    return pb2.RunTemplateResponse(
        pipeline_logging_id=started.pipeline_logging_id,
        pipeline_id=started.pipeline_id,
        status=run_pb2.Run.Status.Value(started.status),
        message=_JOINED if started.already_running else _STARTED,
        already_running=started.already_running,
    )


def run_to_proto(run: Run, *, with_days: bool = True) -> run_pb2.Run:
    """The run resource, of a backfill with or without the single days."""
    return run_pb2.Run(
        pipeline_logging_id=run.pipeline_logging_id,
        pipeline_id=run.header.pipeline_id,
        tenant_id=run.header.tenant_id,
        status=run_pb2.Run.Status.Value(run.state.status),
        trigger_by=run.header.trigger_by,
        parameters=run.header.parameters,
        create_time=timestamp(run.create_time),
        start_time=timestamp(run.state.start_time),
        end_time=timestamp(run.state.end_time),
        steps=map(_step, run.state.steps),
        error=_error(run.state.error),
        template_digest=run.header.template_digest,
        bytes_processed=sum(step.bytes_processed for step in run.own_steps),
        bytes_billed=sum(step.bytes_billed for step in run.own_steps),
        cost_usd=_cost(run.cost_usd),
        newest_source_row_time=timestamp(run.newest_source_row_time),
        retry_of=run.header.retry_of,
        queue_position=run.queue_position,
        backfill=backfill_to_proto(run.state.backfill, with_days=with_days) if run.state.backfill else None,
        backfill_of=run.header.backfill_of,
    )


def templates_to_proto(page: Page[CatalogEntry]) -> pb2.ListTemplatesResponse:
    """A page of templates."""
    return pb2.ListTemplatesResponse(templates=map(template_to_proto, page.items), next_page_token=page.next_page_token)


def runs_to_proto(page: Page[Run]) -> pb2.ListRunsResponse:
    """A page of runs."""
    return pb2.ListRunsResponse(
        runs=[run_to_proto(run, with_days=False) for run in page.items], next_page_token=page.next_page_token
    )


def filter_from_proto(request: pb2.ListRunsRequest) -> RunFilter:
    """Which runs are asked for. Raises InvalidInput for a status that there is none of."""
    if request.status not in run_pb2.Run.Status.values():
        raise InvalidInput([Violation("status", "is no status of a run")])
    return RunFilter(
        provider=request.provider,
        domain=request.domain,
        template_name=request.template_name,
        status=RunStatus(run_pb2.Run.Status.Name(request.status)) if request.status else None,
        start_date=request.start_date,
        end_date=request.end_date,
        earliest_first=request.order == pb2.ListRunsRequest.EARLIEST_FIRST,
    )


def rows_to_proto(page: TablePage) -> Iterator[pb2.ReadTableResponse]:
    """A page of a table, in messages of at most about MAX_MESSAGE_BYTES. A page without rows tells the columns."""
    if not page.rows:
        yield pb2.ReadTableResponse(columns=[pb2.Column(name=c.name, type=c.type) for c in page.columns])
    message, size = pb2.ReadTableResponse(), 0
    for row in page.rows:
        struct = _struct(row)
        size += struct.ByteSize()
        if message.rows and size > MAX_MESSAGE_BYTES:
            yield message
            message, size = pb2.ReadTableResponse(), struct.ByteSize()
        message.rows.append(struct)
    if message.rows:
        yield message


def _step(step: Step) -> run_pb2.Step:
    return run_pb2.Step(
        step_id=step.step_id,
        type=step.type,
        status=run_pb2.Step.Status.Value(step.status),
        start_time=timestamp(step.start_time),
        end_time=timestamp(step.end_time),
        attempts=step.attempts,
        rows_written=step.rows_written,
        bytes_processed=step.bytes_processed,
        destination_table=step.destination_table,
        checks=map(_check, step.checks),
        error=_error(step.error),
        rows_staged=step.rows_staged,
        bytes_billed=step.bytes_billed,
        stage_job_id=step.stage_job_id,
        publish_job_id=step.publish_job_id,
        cost_usd=_cost(step.cost_usd),
        newest_source_row_time=timestamp(step.newest_source_row_time),
        price_per_tib_usd=step.price_per_tib_usd,
    )


def _cost(usd: Decimal | None) -> str:
    return "" if usd is None else decimal_text(usd)


def _check(check: CheckOutcome) -> run_pb2.CheckResult:
    return run_pb2.CheckResult(
        name=check.name,
        type=check.type,
        severity=run_pb2.CheckResult.Severity.Value(check.severity.upper()),
        passed=check.passed,
        failing_rows=check.failing_rows,
        observed=check.observed,
        expected=check.expected,
    )


def _error(error: RunError | None) -> run_pb2.RunError | None:
    if error is None:
        return None
    # A reason of another release's: unspecified is better than a run that cannot be read.
    reason = (
        ErrorReason.Value(error.reason) if error.reason in ErrorReason.keys() else ErrorReason.ERROR_REASON_UNSPECIFIED
    )
    return run_pb2.RunError(reason=reason, message=error.message, step_id=error.step_id)


def template_to_proto(entry: CatalogEntry) -> template_pb2.Template:
    """A template as it stands."""
    template = entry.template
    return template_pb2.Template(
        provider=entry.name.provider,
        domain=entry.name.domain,
        template_name=entry.name.template_name,
        description=template.description if template else "",
        state=template_pb2.Template.State.Value(entry.state),
        parameters=[_parameter(name, spec) for name, spec in (template.parameters if template else {}).items()],
        destination_tables=sorted(template.destinations) if template else (),
        problems=map(str, entry.problems),
        exclusive=template.exclusive if template else False,
    )


def _parameter(name: str, spec: ParameterSpec) -> template_pb2.TemplateParameter:
    return template_pb2.TemplateParameter(
        name=name,
        type=spec.type,
        required=spec.required,
        default_value=spec.default or "",
        description=spec.description,
        values=spec.values,
        min=spec.min or "",
        max=spec.max or "",
        pattern=spec.pattern or "",
        max_length=spec.longest or 0,
    )


def _struct(row: Mapping[str, Any]) -> Struct:
    return Struct(fields={name: _value(value) for name, value in row.items()})


def _value(value: object) -> Value:
    """A value of a row: booleans and finite floats as such, everything else as text, so that no digit is lost."""
    match value:
        case None:
            return Value(null_value=NullValue.NULL_VALUE)
        case bool():
            return Value(bool_value=value)
        case float() if math.isfinite(value):
            return Value(number_value=value)
        case str():
            return Value(string_value=value)
        case bytes():
            return Value(string_value=base64.b64encode(value).decode())
        case datetime() if value.tzinfo is not None:
            return Value(string_value=value.isoformat().replace("+00:00", "Z"))
        case date():
            return Value(string_value=value.isoformat())
        case Decimal():
            # As BigQuery writes it: the local warehouse pads NUMERIC to its scale.
            return Value(string_value=decimal_text(value))
        case Mapping():
            return Value(struct_value=_struct(value))
        case Sequence():
            return Value(list_value=ListValue(values=map(_value, value)))
        case _:
            return Value(string_value=str(value))
