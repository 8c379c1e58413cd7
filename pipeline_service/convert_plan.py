"""Plans on the wire: protobuf in, protobuf out, nothing else."""

from common.decimal_text import decimal_text
from common.rpc.times import timestamp
from common.warehouse.columns import Column
from convergence.pipeline.v1 import plan_pb2, run_pb2
from pipeline_service.estimates import StepEstimate
from pipeline_service.last_run import Difference
from pipeline_service.plan import PlanCheck, PlanLoad, PlanStatement, PlanStep, PlanTable
from pipeline_service.plan_template import PlannedRun
from pipeline_service.run_template import RunOptions


def plan_options_from_proto(request: plan_pb2.PlanTemplateRequest) -> RunOptions:
    """What the run that is planned would be given."""
    return RunOptions(request.date, "", dict(request.parameters), "")


def planned_to_proto(planned: PlannedRun) -> plan_pb2.TemplatePlan:
    """The answer of PlanTemplate."""
    header = planned.plan.header
    return plan_pb2.TemplatePlan(
        pipeline_id=header.pipeline_id,
        template_digest=header.template_digest,
        parameters=header.parameters,
        steps=map(_step, planned.plan.steps, planned.estimates),
        total=plan_pb2.PlanTotal(
            complete=all(estimate.cost is not None for estimate in planned.estimates),
            bytes_processed=planned.total.bytes_processed,
            bytes_billed=planned.total.bytes_billed,
            cost_usd=decimal_text(planned.total.usd),
            price_per_tib_usd=decimal_text(planned.price_per_tib_usd),
        ),
        difference=_difference(planned.difference) if planned.difference else None,
        budget=_budget(planned) if planned.plan.budget else None,
    )


def _budget(planned: PlannedRun) -> plan_pb2.PlanBudget:
    budget = planned.plan.budget
    return plan_pb2.PlanBudget(
        max_bytes_per_run=budget.max_bytes if budget else None,
        max_bytes_per_day=planned.max_bytes_per_day,
        bytes_left_of_day=planned.bytes_left_of_day,
        fits=planned.fits,
    )


def _step(step: PlanStep, estimate: StepEstimate) -> plan_pb2.PlannedStep:
    query, published, load = step.query, step.published, step.load
    return plan_pb2.PlannedStep(
        step_id=step.step_id,
        type=step.type,
        depends_on=step.depends_on,
        condition=_statement(step.when) if step.when else None,
        query=_statement(query.select) if query else None,
        destination=_table(published.destination) if published else None,
        write=published.write if published else "",
        checked=_table(step.checked) if step.checked else None,
        checks=map(_check, step.checks),
        max_bytes_billed=query.max_bytes_billed or 0 if query else 0,
        credential=query.credential or "" if query else "",
        estimate=_estimate(estimate),
        keys=published.keys if published else (),
        load=_load(load) if load else None,
        newest_source_row=_statement(query.newest_source_row) if query and query.newest_source_row else None,
    )


def _statement(statement: PlanStatement) -> plan_pb2.PlannedStatement:
    return plan_pb2.PlannedStatement(
        sql=statement.sql,
        parameters=[
            plan_pb2.QueryParameter(
                name=parameter.name,
                type=parameter.type,
                values=[plan_pb2.OptionalText(text=text) for text in parameter.texts],
                array=parameter.array,
            )
            for parameter in statement.parameters
        ],
        tables=statement.tables,
    )


def _load(load: PlanLoad) -> plan_pb2.PlannedLoad:
    return plan_pb2.PlannedLoad(uri=load.uri, format=load.format, columns=map(_column, load.columns))


def _column(column: Column) -> plan_pb2.PlannedColumn:
    return plan_pb2.PlannedColumn(
        name=column.name, type=column.type, repeated=column.mode == "REPEATED", fields=map(_column, column.fields)
    )


def _table(table: PlanTable) -> plan_pb2.PlannedTable:
    return plan_pb2.PlannedTable(
        table=table.table.rsplit(".", 1)[1],
        partition_column=table.partition_column or "",
        partition=table.partition or "",
    )


def _check(check: PlanCheck) -> plan_pb2.PlannedCheck:
    return plan_pb2.PlannedCheck(
        name=check.name,
        type=check.type,
        severity=run_pb2.CheckResult.Severity.Value(check.severity.upper()),
        measure=_statement(check.measure),
    )


def _estimate(estimate: StepEstimate) -> plan_pb2.StepEstimate:
    cost = estimate.cost
    return plan_pb2.StepEstimate(
        basis=plan_pb2.StepEstimate.Basis.Value(estimate.basis.upper()),
        bytes_processed=cost.bytes_processed if cost else None,
        bytes_billed=cost.bytes_billed if cost else None,
        cost_usd=decimal_text(cost.usd) if cost else "",
        unknown_because=estimate.unknown_because,
    )


def _difference(difference: Difference) -> plan_pb2.TemplateDifference:
    last_run = difference.last_run
    return plan_pb2.TemplateDifference(
        pipeline_logging_id=last_run.pipeline_logging_id,
        create_time=timestamp(last_run.create_time),
        last_run_digest=last_run.header.template_digest,
        changed=difference.changed,
        steps=[
            plan_pb2.StepDifference(step_id=step_id, change=plan_pb2.StepDifference.Change.Value(change))
            for step_id, change in (difference.steps or {}).items()
        ],
    )
