"""Runs within a budget of their own: no statement is run for which nothing is reserved."""

import time
from collections import Counter
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType

from common.errors import Transient
from common.warehouse.estimate import MINIMUM_BILLED_BYTES as LEAST
from common.warehouse.estimate import Estimate
from pipeline_service.budgets import BudgetLimits
from pipeline_service.run import RunStatus, StepStatus
from tests.unit.pipeline_service.conftest import Lab
from tests.unit.pipeline_service.spending import SIZE, Spending, per_run, reasons


async def test_parallel_steps_that_each_fit_alone_cannot_pass_the_budget_of_their_run_together(lab: Lab) -> None:
    spending = per_run(lab, 3 * SIZE - 1)
    async with lab.worker():
        run = await spending.run("a", "b", "c")
    assert reasons(run) == {"COMPLETE": 2, "BUDGET_EXCEEDED": 1}
    assert run.state.status is RunStatus.FAILED
    assert run.state.error is not None
    assert run.state.error.reason == "BUDGET_EXCEEDED"
    expected = f"The step may bill {SIZE} bytes more; {SIZE - 1} are left of the {3 * SIZE - 1} that the run may bill"
    assert run.state.error.message == expected
    refused = next(step for step in run.state.steps if step.status is StepStatus.FAILED)
    assert f"{refused.step_id}_stage_1" not in lab.warehouse.caps, "nothing of it was run"
    assert lab.warehouse.most_billing <= 3 * SIZE - 1


async def test_a_step_waits_for_one_that_may_bill_less_than_it_has_reserved(lab: Lab) -> None:
    spending = per_run(lab, 2 * SIZE - 1)
    wanted = spending.plan("a", "b")
    for name in "ab":
        lab.warehouse.bills[f"{name}_stage_1"] = LEAST
    async with lab.worker():
        run = await spending.end_of(await lab.start(wanted))
    assert reasons(run) == {"COMPLETE": 2}
    assert lab.warehouse.caps == {"a_stage_1": SIZE, "b_stage_1": SIZE}
    assert lab.warehouse.most_billing == SIZE + LEAST


@pytest.mark.usefixtures("patience")
async def test_a_run_without_a_budget_has_no_event_more(lab: Lab) -> None:
    free, bounded = Spending(lab, BudgetLimits()), per_run(lab, 10 * SIZE)
    async with lab.worker():
        events = []
        for spending, name in ((free, "a"), (bounded, "b")):
            run = await spending.run(name)
            execution = await lab.execution(run.pipeline_logging_id)
            handle = lab.client.get_workflow_handle(execution.workflow_id, run_id=execution.engine_run_id)
            events.append(Counter([event.event_type async for event in handle.fetch_history_events()]))
    assert free.plan("a").budget is None
    scheduled, marker = EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, EventType.EVENT_TYPE_MARKER_RECORDED
    assert [events[0][scheduled], events[0][marker]] == [1, 1], "step, with begin and end; all changes of workflows"
    assert [events[1][scheduled], events[1][marker]] == [4, 1], "begin, reckon, step, end"
    assert (await lab.gates.last(lab.tenant_id)).day is None


async def test_checks_are_reserved_apart_once_their_rows_are_staged(lab: Lab) -> None:
    spending = per_run(lab, SIZE + LEAST)
    async with lab.worker():
        run = await spending.run("a", checked=True)
        assert run.state.status is RunStatus.COMPLETE
        assert run.state.steps[0].bytes_billed == SIZE + 7 + 20
        tight = per_run(lab, SIZE + LEAST - 1)
        run = await tight.run("b", checked=True)
    assert reasons(run) == {"BUDGET_EXCEEDED": 1}
    assert run.state.steps[0].bytes_billed == SIZE, "what it has billed is told"
    assert "b_publish_1" not in lab.warehouse.effects


async def test_a_statement_of_which_nobody_knows_what_it_bills_gets_all_that_is_left_once_it_is_alone(lab: Lab) -> None:
    spending = per_run(lab, 3 * SIZE)
    wanted = spending.plan("a", "b")
    lab.warehouse.estimates["select b"] = Estimate(1, "dry_run_at_least", 1)
    async with lab.worker():
        run = await spending.end_of(await lab.start(wanted))
    assert run.state.status is RunStatus.COMPLETE
    assert lab.warehouse.caps["a_stage_1"] == SIZE
    assert lab.warehouse.caps["b_stage_1"] in (2 * SIZE, 3 * SIZE)
    assert lab.warehouse.most_billing <= 3 * SIZE


async def test_steps_whose_queries_bill_nothing_do_not_wait_for_each_other_for_ever(lab: Lab) -> None:
    spending = per_run(lab, 3 * LEAST)
    wanted = spending.plan("a", "b", checked=True)
    for name in "ab":
        spending.may_bill(name, LEAST)
        lab.warehouse.bills[f"{name}_stage_1"] = 0
    async with lab.worker():
        run = await spending.end_of(await lab.start(wanted))
    assert reasons(run) == {"COMPLETE": 2}


async def test_a_query_that_would_bill_more_than_was_reserved_is_stopped_by_the_warehouse(lab: Lab) -> None:
    spending = per_run(lab, 10 * SIZE)
    wanted = spending.plan("a")
    lab.warehouse.bills["a_stage_1"] = SIZE + 1
    async with lab.worker():
        run = await spending.end_of(await lab.start(wanted))
    assert reasons(run) == {"BUDGET_EXCEEDED": 1}
    assert "a_publish_1" not in lab.warehouse.effects


async def test_a_job_that_billed_nothing_keeps_nothing_from_the_checks_of_its_own_step(lab: Lab) -> None:
    spending = per_run(lab, SIZE)
    wanted = spending.plan("a", checked=True)
    lab.warehouse.bills["a_stage_1"] = 0
    async with lab.worker():
        run = await spending.end_of(await lab.start(wanted))
    assert reasons(run) == {"COMPLETE": 1}


async def test_reads_that_are_refused_for_a_while_do_not_use_up_the_budget(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    spending = per_run(lab, SIZE + 6 * LEAST)
    lab.warehouse.tables[f"{lab.tenant_id}.dq_results"] = []
    read, measured = lab.warehouse.read, None

    async def refuse_for_a_while(*args: Any, **options: Any) -> Any:
        nonlocal measured
        if options.get("max_bytes_billed") is not None:  # a check, and not a record
            measured = measured or time.monotonic()
            if time.monotonic() < measured + 4:
                raise Transient("refused")
        return await read(*args, **options)

    monkeypatch.setattr(lab.warehouse, "read", refuse_for_a_while)
    async with lab.worker():
        run = await spending.run("a", checked=True)
    assert reasons(run) == {"COMPLETE": 1}
