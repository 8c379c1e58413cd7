"""Rows of the record tables, and what they say when read again. The columns stand in `configs/metadata/schemas/`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from pydantic import TypeAdapter

from common.warehouse.rows import required_time_in, text_in, time_in
from common.warehouse.statements import Record
from common.warehouse.warehouse import Row, TableRef, Value
from pipeline_service.backfill_json import backfill_in_json, backfill_to_json
from pipeline_service.price import Price
from pipeline_service.run import CheckOutcome, Run, RunError, RunHeader, RunState, RunStatus, Step
from pipeline_service.sample_json import sample_json
from pipeline_service.step_result import AttemptRecord, RunRef, StepResult
from pipeline_service.steps.attempt import Attempt, day_of

_STEPS = TypeAdapter(tuple[Step, ...])
_OUTCOME = TypeAdapter(CheckOutcome)
_PARAMETERS = TypeAdapter(dict[str, str])


def run_row(run: Run) -> Record:
    """A run's row. `steps` holds all that GetRun shows of them."""
    header, state = run.header, run.state
    _, provider, domain, template_name = header.pipeline_id.split("-", 3)
    return {
        "pipeline_logging_id": run.pipeline_logging_id,
        "pipeline_id": header.pipeline_id,
        "tenant_id": header.tenant_id,
        "provider": provider,
        "domain": domain,
        "template_name": template_name,
        "template_digest": header.template_digest,
        "trigger_by": header.trigger_by,
        "principal": header.principal,
        "parameters": _PARAMETERS.dump_json(dict(header.parameters)).decode(),
        "status": state.status.value,
        "create_time": run.create_time,
        "start_time": state.start_time,
        "end_time": state.end_time,
        "duration_ms": _milliseconds(run.create_time, state.end_time) if state.end_time else None,
        "rows_written": sum(step.rows_written for step in run.own_steps),
        "bytes_processed": sum(step.bytes_processed for step in run.own_steps),
        "bytes_billed": sum(step.bytes_billed for step in run.own_steps),
        "cost_usd": run.cost_usd,
        **_error_columns(state.error),
        "error_step_id": state.error.step_id if state.error else None,
        "steps": _STEPS.dump_json(state.steps).decode(),
        **({"newest_source_row_time": newest} if (newest := run.newest_source_row_time) else {}),
        **({"retry_of": header.retry_of} if header.retry_of else {}),
        **({"backfill_of": header.backfill_of} if header.backfill_of else {}),
        **({"backfill": backfill_to_json(state.backfill)} if state.backfill else {}),
    }


def run_in(row: Row) -> Run:
    """The run that a row tells of."""
    reason = row["error_reason"]
    error = RunError(str(reason), str(row["error_message"]), text_in(row, "error_step_id")) if reason else None
    header = RunHeader(
        tenant_id=str(row["tenant_id"]),
        pipeline_id=str(row["pipeline_id"]),
        template_digest=str(row["template_digest"]),
        trigger_by=text_in(row, "trigger_by"),
        principal=text_in(row, "principal"),
        parameters=parameters_in(row),
        retry_of=str(row.get("retry_of") or ""),
        backfill_of=str(row.get("backfill_of") or ""),
    )
    state = RunState(
        steps=_STEPS.validate_json(str(row["steps"])),
        status=RunStatus(str(row["status"])),
        start_time=time_in(row, "start_time"),
        end_time=time_in(row, "end_time"),
        error=error,
        backfill=backfill_in_json(str(kept)) if (kept := row.get("backfill")) else None,
    )
    return Run(str(row["pipeline_logging_id"]), required_time_in(row, "create_time"), header, state)


def parameters_in(row: Row) -> Mapping[str, str]:
    """The resolved parameters of the run that a row tells of."""
    return _PARAMETERS.validate_json(str(row["parameters"]))


def step_row(run: RunRef, record: AttemptRecord) -> Record:
    """The row of an attempt at a step, COMPLETE or FAILED by whether there is an error."""
    result, destination, error = record.result, record.destination, record.error
    price = Price(Decimal(result.price_per_tib_usd))
    return {
        **_step_columns(run, record.step_id, result.attempts),
        "step_type": record.step_type,
        "status": "FAILED" if error else "COMPLETE",
        "start_time": record.start_time,
        "end_time": record.end_time,
        "duration_ms": _milliseconds(record.start_time, record.end_time),
        "job_id": result.stage_job_id or None,
        "publish_job_id": result.publish_job_id or None,
        "rows_staged": result.rows_staged,
        "rows_written": result.rows_written,
        "bytes_processed": result.bytes_processed,
        "bytes_billed": result.bytes_billed,
        "cost_usd": price.of(result.bytes_billed),
        "price_per_tib_usd": price.per_tib_usd,
        "destination_table": TableRef.parse(destination.table).table if destination else None,
        "destination_partition": day_of(destination.partition) if destination else None,
        **_error_columns(error),
    }


def check_row(attempt: Attempt, outcome: CheckOutcome, sample: Sequence[Row], check_time: datetime) -> Record:
    """The row of a check."""
    return {
        **_step_columns(attempt.run, attempt.step.step_id, attempt.number),
        "check_name": outcome.name,
        "check_type": outcome.type,
        "severity": outcome.severity,
        "passed": outcome.passed,
        "failing_rows": outcome.failing_rows,
        "observed": outcome.observed or None,
        "expected": outcome.expected or None,
        "sample": sample_json(sample),
        "target_table": attempt.target.table,
        "check_time": check_time,
    }


def outcome_in(row: Row) -> CheckOutcome:
    """The outcome that a check's row tells of."""
    names = {"name": "check_name", "type": "check_type"}
    fields = ("name", "type", "severity", "passed", "failing_rows", "observed", "expected")
    values = {field: row[names.get(field, field)] for field in fields}
    return _OUTCOME.validate_python(
        {**values, "observed": values["observed"] or "", "expected": values["expected"] or ""}
    )


def result_in(row: Row, checks: tuple[CheckOutcome, ...]) -> StepResult:
    """What an attempt did, by the row of its success and the recorded outcomes of its checks."""
    price = row.get("price_per_tib_usd")
    return StepResult(
        attempts=int(str(row["attempt"])),
        rows_staged=int(str(row["rows_staged"] or 0)),
        rows_written=int(str(row["rows_written"] or 0)),
        bytes_processed=int(str(row["bytes_processed"] or 0)),
        bytes_billed=int(str(row["bytes_billed"] or 0)),
        checks=checks,
        stage_job_id=text_in(row, "job_id"),
        publish_job_id=text_in(row, "publish_job_id"),
        price_per_tib_usd="" if price is None else f"{Decimal(str(price)).normalize():f}",
    )


def _step_columns(run: RunRef, step_id: str, attempt: int) -> Mapping[str, Value]:
    return {
        "pipeline_logging_id": run.pipeline_logging_id,
        "pipeline_id": run.pipeline_id,
        "tenant_id": run.tenant_id,
        "step_id": step_id,
        "attempt": attempt,
    }


def _error_columns(error: RunError | None) -> Mapping[str, Value]:
    return {"error_reason": error.reason if error else None, "error_message": error.message if error else None}


def _milliseconds(start: datetime, end: datetime) -> int:
    return round((end - start).total_seconds() * 1000)
