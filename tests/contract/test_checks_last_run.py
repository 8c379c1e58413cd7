"""row_count with max_change: which run counts as the last, on every warehouse."""

from datetime import timedelta
from typing import Any

import pytest

from common.warehouse.warehouse import Warehouse
from pipeline_service.run import RunStatus
from tests.contract.checked_steps import WHOLE, CheckedStep, Done

CHECK = "{type: row_count, max_change: 0.5}"
NO_EARLIER = "no earlier run to compare with"


@pytest.fixture
async def step(warehouse: Warehouse, dataset: str) -> CheckedStep:
    """A tenant without any run."""
    step = CheckedStep(warehouse, dataset)
    await step.prepare()
    return step


async def counted(step: CheckedStep, rows: int, *, date: str = "2025-11-15", check: str = CHECK, **fields: Any) -> Done:
    """Run the step for a day of that many rows."""
    await step.put(f"SELECT DATE '{date}' AS day, number FROM UNNEST(GENERATE_ARRAY(1, {rows})) AS number")
    return await step.run(check, date=date, **fields)


async def test_the_first_run_passes_and_says_that_there_is_none_to_compare_with(step: CheckedStep) -> None:
    done = await counted(step, 4)
    assert (done.failed, done.outcome.passed) == (None, True)
    assert (done.outcome.observed, done.outcome.expected) == ("4", NO_EARLIER)


async def test_the_number_may_change_by_the_fraction_and_by_no_row_more(step: CheckedStep) -> None:
    await step.record(await counted(step, 4, date="2025-11-14"))
    for rows, passed in {2: True, 6: True, 1: False, 7: False}.items():
        done = await counted(step, rows)
        assert (done.failed is None) == done.outcome.passed == passed, rows
        assert (done.outcome.observed, done.outcome.expected) == (str(rows), "within 50% of the last run: 4")
    none = await counted(step, 0)
    assert (none.outcome.passed, none.outcome.observed) == (False, "0")


async def test_bounds_and_the_change_are_held_together(step: CheckedStep) -> None:
    check = "{type: row_count, min: 3, max: 5, max_change: 0.25}"
    await step.record(await counted(step, 4, date="2025-11-14", check=check))
    for rows, passed in {3: True, 5: True, 2: False, 6: False}.items():
        done = await counted(step, rows, check=check)
        assert done.outcome.passed == passed, rows
        assert done.outcome.expected == ">= 3 and <= 5 and within 25% of the last run: 4"


async def test_a_run_is_compared_with_the_latest_that_is_complete_and_had_rows_of_another_day(
    step: CheckedStep,
) -> None:
    for hours, rows, date, status in (
        (9, 10, "2025-11-12", RunStatus.COMPLETE),
        (8, 20, "2025-11-13", RunStatus.COMPLETE),  # the one
        (7, 0, "2025-11-14", RunStatus.COMPLETE),
        (6, 40, "2025-11-14", RunStatus.FAILED),
        (5, 50, "2025-11-14", RunStatus.CANCELLED),
        (4, 60, "2025-11-15", RunStatus.COMPLETE),
    ):
        done = await counted(step, rows, date=date, check=CHECK.replace("}", ", severity: warn}"))
        await step.record(done, status, ago=timedelta(hours=hours))
    assert (await counted(step, 20)).outcome.expected == "within 50% of the last run: 20"
    assert (await counted(step, 30, date="2025-11-14")).outcome.expected.endswith("the last run: 60")


async def test_a_run_that_publishes_the_whole_table_is_compared_with_the_last_like_it(step: CheckedStep) -> None:
    await step.record(await counted(step, 4, write=WHOLE))
    assert (await counted(step, 7, write=WHOLE)).outcome.expected == "within 50% of the last run: 4"


async def test_runs_of_another_template_and_of_more_than_400_days_ago_do_not_count(step: CheckedStep) -> None:
    await step.record(await counted(step, 4, date="2025-11-14", template="another"))
    await step.record(await counted(step, 4, date="2025-11-13"), ago=timedelta(days=400, seconds=1))
    assert (await counted(step, 40)).outcome.expected == NO_EARLIER


async def test_a_run_that_was_compared_is_not_compared_anew_by_a_later_attempt(step: CheckedStep) -> None:
    await step.record(await counted(step, 4, date="2025-11-14"))
    first = await counted(step, 6)
    await step.record(
        await counted(step, 100, date="2025-11-13", check=CHECK.replace("}", ", severity: warn}")), ago=timedelta(0)
    )
    first.attempt.number, first.attempt.follows_another = 2, True
    again = await step.execute(first.attempt)
    assert again.outcome == first.outcome
    assert (again.failed, again.outcome.expected) == (None, "within 50% of the last run: 4")
