"""What the engine keeps of a template."""

from dataclasses import fields, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TypeVar

import pytest
from temporalio.converter import DataConverter

from common.errors import PlanTooLarge
from common.templates.resolved import (
    ResolvedCheck,
    ResolvedLoad,
    ResolvedQuery,
    ResolvedStatement,
    ResolvedStep,
    ResolvedTable,
)
from common.warehouse.warehouse import Parameter, Statement, TableRef
from pipeline_service.plan import Plan, PlanCheck, PlanLoad, PlanQuery, PlanStatement, PlanStep, PlanTable
from pipeline_service.run import CheckOutcome, RunError, RunState, RunStatus, Step, StepStatus
from tests.unit.pipeline_service.plans import check, dq_step, plan, query_step

T = TypeVar("T")
PARAMETERS = (
    Parameter("text", "STRING", "ünï'\n"),
    Parameter("raw", "BYTES", b"\x00\xff"),
    Parameter("whole", "INT64", 2**63 - 1),
    Parameter("ratio", "FLOAT64", 0.1),
    Parameter("money", "NUMERIC", Decimal("1.123456789")),
    Parameter("flag", "BOOL", False),
    Parameter("day", "DATE", date(2025, 11, 15)),
    Parameter("local", "DATETIME", datetime(2025, 11, 15, 1, 2, 3)),  # noqa: DTZ001 - a DATETIME has no zone
    Parameter("moment", "TIMESTAMP", datetime(2025, 11, 15, 1, 2, 3, 4, tzinfo=UTC)),
    Parameter("json", "JSON", '{"a": 1}'),
    Parameter("nothing", "STRING", None),
    Parameter("days", "DATE", [date(2025, 11, 15), None], array=True),
    Parameter("none", "STRING", [], array=True),
)


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda parameter: parameter.name)
async def test_a_parameter_survives_the_engine_with_its_type(parameter: Parameter) -> None:
    kept = PlanStatement.of(ResolvedStatement(Statement("SELECT @x", (parameter,)), (TableRef("a", "b", "p"),)))
    assert (await through_the_engine(kept, PlanStatement)).statement() == Statement("SELECT @x", (parameter,))


async def test_a_plan_survives_the_engine(two_step_plan: Plan) -> None:
    assert await through_the_engine(two_step_plan, Plan) == two_step_plan


async def test_a_state_survives_the_engine() -> None:
    now = datetime(2025, 11, 15, 1, 2, 3, 4, tzinfo=UTC)
    outcome = CheckOutcome("c", "reconcile", "warn", passed=False, failing_rows=3, observed="1", expected="2")
    error = RunError("CHECK_FAILED", "message", "load")
    step = Step("load", "query", StepStatus.FAILED, now, now, 2, 3, 4, 5, "t", (outcome,), error)
    state = RunState((step,), 7, RunStatus.FAILED, now, None, error)
    assert await through_the_engine(state, RunState) == state


def test_a_plan_of_more_than_a_megabyte_is_refused() -> None:
    step = query_step("acme")
    assert step.query is not None
    long = replace(step.query.select, statement=Statement("SELECT '" + "x" * 1_000_000 + "'"))
    with pytest.raises(PlanTooLarge):
        plan("acme", replace(step, query=replace(step.query, select=long)))


@pytest.fixture
def two_step_plan() -> Plan:
    checks = (check("ok"), check("bad", "warn"))
    return plan(
        "acme", query_step("acme", checks=checks), dq_step("acme", "load_table", after=("load",), checks=checks)
    )


async def through_the_engine(value: T, value_type: type[T]) -> T:
    converter = DataConverter.default
    decoded: list[T] = await converter.decode(await converter.encode([value]), [value_type])
    return decoded[0]


@pytest.mark.parametrize(
    ("resolved", "planned"),
    [
        (ResolvedCheck, PlanCheck),
        (ResolvedTable, PlanTable),
        (ResolvedQuery, PlanQuery),
        (ResolvedLoad, PlanLoad),
        (ResolvedStep, PlanStep),
    ],
)
def test_a_plan_leaves_out_nothing_that_is_resolved(resolved: type, planned: type) -> None:
    assert {field.name for field in fields(planned)} == {field.name for field in fields(resolved)}
