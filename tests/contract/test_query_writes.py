"""What a query step publishes by each write, on both warehouses, also where an attempt follows one that died."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from common.errors import ObjectNotFound, TableNotAllowed, Terminal
from common.templates.tables import METADATA_TABLES
from common.warehouse.warehouse import TableRef, Warehouse
from pipeline_service.steps.attempt import Attempt
from tests.contract.checked_steps import CheckedStep
from tests.contract.work import select

MERGE = "write: merge, keys: [id]"
VIEW = "write: view"


@pytest.fixture
async def step(warehouse: Warehouse, dataset: str) -> CheckedStep:
    step = CheckedStep(warehouse, dataset)
    await step.prepare()
    return step


def rows(*pairs: tuple[int, str]) -> str:
    return " UNION ALL ".join(f"SELECT {number} AS id, '{name}' AS name" for number, name in pairs)


def next_attempt(attempt: Attempt) -> Attempt:
    """The attempt that follows one whose end nobody saw."""
    number = attempt.number + 1
    return Attempt(
        attempt.run,
        attempt.step,
        number=number,
        schedule_time=datetime.now(UTC),
        leaves_jobs=lambda: False,
        price=attempt.price,
    )


async def published(step: CheckedStep) -> list[tuple[object, object]]:
    return sorted(((row["id"], row["name"]) for row in await step.published()), key=repr)


async def test_merged_rows_join_those_of_earlier_runs(step: CheckedStep) -> None:
    await step.put(rows((1, "a"), (2, "b")))
    await step.run("{type: row_count, min: 1}", write=MERGE)
    await step.put(rows((2, "B"), (3, "c")))
    done = await step.run("{type: row_count, min: 1}", write=MERGE)
    assert await published(step) == [(1, "a"), (2, "B"), (3, "c")]
    assert (done.attempt.rows_staged, done.attempt.rows_written) == (2, 2)


async def test_an_attempt_after_one_that_died_merges_nothing_again(step: CheckedStep) -> None:
    await step.put(rows((1, "a")))
    done = await step.run("{type: row_count, min: 1}", write=MERGE)
    await step.put(rows((1, "later")))
    await step.run("{type: row_count, min: 1}", write=MERGE)
    again = await step.execute(next_attempt(done.attempt))
    assert (again.failed, again.attempt.rows_written) == (None, 1)
    assert await published(step) == [(1, "later")]


async def test_rows_that_fail_their_checks_are_not_merged(step: CheckedStep) -> None:
    await step.put(rows((1, "a")))
    await step.run("{type: row_count, min: 1}", write=MERGE)
    await step.put(rows((1, "b")))
    done = await step.run("{type: accepted_values, column: name, values: [a]}", write=MERGE)
    assert done.failed is not None
    assert done.failed.reason == "CHECK_FAILED"
    assert await published(step) == [(1, "a")]


async def test_two_rows_of_one_key_fail_the_step_and_publish_nothing(step: CheckedStep) -> None:
    await step.put(rows((1, "a"), (1, "b")))
    with pytest.raises(Terminal) as caught:
        await step.run("{type: row_count, min: 1}", write=MERGE)
    assert caught.value.reason == "MERGE_KEYS_INVALID"
    with pytest.raises(ObjectNotFound):
        await step.warehouse.get_table(TableRef(step.tenant_id, "published"))


async def seen(step: CheckedStep) -> list[object]:
    view = TableRef(step.tenant_id, "published")
    return [row["name"] for row in await select(step.warehouse, f"SELECT name FROM `{view}` ORDER BY name")]


async def test_a_view_is_published_without_a_row_and_shows_what_comes_later(step: CheckedStep) -> None:
    await step.put(rows((1, "a"), (2, "b")))
    done = await step.run("{type: unique, columns: [id]}", write=VIEW)
    assert (done.failed, done.outcome.passed, done.attempt.rows_written) == (None, True, 0)
    await step.put(rows((3, "c")))
    assert await seen(step) == ["c"]
    tables = {ref.table for ref in await step.warehouse.list_tables(step.tenant_id)}
    assert not [name for name in tables if name.startswith("_stage_")], "nothing was staged"


async def test_a_view_whose_rows_fail_a_check_is_not_published(step: CheckedStep) -> None:
    await step.put(rows((1, "a"), (1, "b")))
    done = await step.run("{type: unique, columns: [id]}", write=VIEW)
    assert done.failed is not None
    assert done.failed.reason == "CHECK_FAILED"
    assert await seen_names(step) == {"input"}
    assert [len(result["sample"]) for result in await step.results()] == [1]


async def seen_names(step: CheckedStep) -> set[str]:
    """The tables and views that are no metadata."""
    found = {ref.table for ref in await step.warehouse.list_tables(step.tenant_id)}
    return found - METADATA_TABLES


async def test_a_view_is_published_again_by_the_next_run_and_the_next_attempt(step: CheckedStep) -> None:
    await step.put(rows((1, "a")))
    done = await step.run("{type: row_count, min: 1}", write=VIEW)
    assert (await step.run("{type: row_count, min: 1}", write=VIEW)).failed is None
    assert (await step.execute(next_attempt(done.attempt))).failed is None
    assert await seen(step) == ["a"]


async def test_no_view_is_made_over_a_table_that_is_not_the_tenants_own(step: CheckedStep) -> None:
    """Whatever the plan says: it lay in the engine meanwhile."""
    await step.put(rows((1, "a")))
    done = await step.run("{type: row_count, min: 1}", write=VIEW)
    query = done.attempt.step.query
    assert query is not None
    foreign = replace(query, select=replace(query.select, tables=("techcorp.costs",)))
    forged = next_attempt(done.attempt)
    forged.step = replace(done.attempt.step, query=foreign)
    with pytest.raises(TableNotAllowed):
        await step.execute(forged)
