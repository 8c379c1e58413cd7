"""Every type of check on every warehouse: what passes, what fails, and what that does to what is published."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from common.errors import Terminal
from common.warehouse.warehouse import Warehouse
from pipeline_service.run import CheckOutcome
from tests.contract.checked_steps import DAILY, WHOLE, CheckedStep

GOOD = """
SELECT DATE '2025-11-15' AS day, TIMESTAMP '2025-11-15 08:00:00+00' AS seen, 'a' AS name, NUMERIC '1.5' AS amount, 3 AS number
UNION ALL SELECT DATE '2025-11-15', TIMESTAMP '2025-11-15 09:00:00+00', 'b', NUMERIC '2', 4
"""
BAD = """
SELECT DATE '2025-11-15' AS day, TIMESTAMP '2025-11-14 08:00:00+00' AS seen, 'b' AS name, NUMERIC '1.5' AS amount, 3 AS number
UNION ALL SELECT DATE '2025-11-15', NULL, 'b', NUMERIC '-2.000000001', 40
UNION ALL SELECT DATE '2025-11-15', NULL, "it's", NULL, NULL
"""


@dataclass(frozen=True)
class Case:
    """A check that the rows GOOD pass and BAD fail, and what its result says of BAD."""

    check: str
    failing_rows: int = 0
    observed: str = ""
    expected: str = ""
    sampled: tuple[str, ...] = ()
    """The names in the sample, sorted."""


CASES = {
    "not_null": Case("type: not_null, column: amount", 1, sampled=("it's",)),
    "unique": Case("type: unique, columns: [name]", 2, sampled=("b",)),
    "accepted_values": Case("type: accepted_values, column: name, values: [a, b]", 1, expected="one of a, b", sampled=("it's",)),
    "range": Case("type: range, column: amount, min: -2, max: 2", 1, expected=">= -2 and <= 2", sampled=("b",)),
    "row_count": Case("type: row_count, min: 1, max: 2", observed="3", expected=">= 1 and <= 2"),
    "row_count of the last run": Case("type: row_count, max_change: 0.4", observed="3", expected="within 40% of the last run: 2"),
    "freshness": Case(
        "type: freshness, column: seen, max_age: 6h", observed="2025-11-14 08:00:00+00", expected=">= 2025-11-15 06:30:00+00"
    ),
    "reconcile": Case("type: reconcile, measure: SUM(number), with: SELECT 7", observed="43", expected="7"),
    "relationships": Case(
        "type: relationships, column: name, to: names, field: title", 1, expected="a value of title in names", sampled=("it's",)
    ),
    "expression": Case("type: expression, sql: number < 10", 2, sampled=("b", "it's")),
}  # fmt: skip


@pytest.fixture
async def step(warehouse: Warehouse, dataset: str) -> CheckedStep:
    """A tenant with the rows GOOD as its input, and another table."""
    step = CheckedStep(warehouse, dataset)
    await step.prepare()
    await step.put(GOOD)
    await step.put("SELECT 'a' AS title UNION ALL SELECT 'b' UNION ALL SELECT 'b' UNION ALL SELECT NULL", "names")
    return step


@pytest.mark.parametrize("name", CASES)
async def test_rows_that_fail_a_check_stay_out_or_where_it_only_warns_are_published_and_told_of(
    step: CheckedStep, name: str
) -> None:
    case = CASES[name]
    check = f'{{{case.check}, name: it, severity: "{{severity}}"}}'
    write = WHOLE if "last run" in name else DAILY
    good = await step.run(check, write=write)
    assert good.failed is None
    assert (good.outcome.passed, good.outcome.failing_rows) == (True, 0)
    await step.record(good)
    before = await step.published()
    assert len(before) == 2

    await step.put(BAD)
    stopped = await step.run(check, write=write, severity="error")
    assert (stopped.failed and stopped.failed.reason, str(stopped.failed)) == ("CHECK_FAILED", "Checks failed: it")
    assert await step.published() == before
    warned = await step.run(check, write=write, severity="warn")
    assert warned.failed is None
    assert sorted(str(row["name"]) for row in await step.published()) == ["b", "b", "it's"]

    kind = name.partition(" ")[0]
    for severity, done in (("error", stopped), ("warn", warned)):
        found = CheckOutcome("it", kind, severity, False, case.failing_rows, case.observed, case.expected)  # type: ignore[arg-type]
        assert done.outcome == found
    by_run = {result["pipeline_logging_id"]: result for result in await step.results()}
    assert len(by_run) == 3
    assert by_run[good.attempt.run.pipeline_logging_id]["sample"] is None
    for done in (stopped, warned):
        result = by_run[done.attempt.run.pipeline_logging_id]
        assert (result["passed"], result["failing_rows"]) == (False, case.failing_rows)
        assert (result["observed"] or "", result["expected"] or "") == (case.observed, case.expected)
        assert sorted({row["name"] for row in result["sample"] or ()}) == sorted(case.sampled)


async def outcomes(step: CheckedStep, *checks: str, **fields: Any) -> list[bool]:
    """Whether each of several checks passes on the rows of the table input, whose columns need not be what is published."""
    severe = [f"{{{check}, name: c{number}, severity: warn}}" for number, check in enumerate(checks)]
    done = await step.run(*severe, write=WHOLE, **fields)
    return [outcome.passed for outcome in done.attempt.checks]


async def test_no_rows_break_no_check_of_rows_but_are_too_few_and_not_fresh(step: CheckedStep) -> None:
    await step.put(f"SELECT * FROM ({GOOD}) WHERE FALSE")
    checks = [case.check for name, case in CASES.items() if name not in ("row_count", "freshness", "reconcile")]
    assert await outcomes(step, *checks) == [True] * 7
    assert await outcomes(step, CASES["row_count"].check, CASES["freshness"].check) == [False, False]


async def test_null_passes_what_is_about_values_and_fails_a_condition(step: CheckedStep) -> None:
    await step.put("SELECT CAST(NULL AS STRING) AS name, CAST(NULL AS INT64) AS number, CAST(NULL AS DATE) AS seen")
    about_values = [
        "type: accepted_values, column: name, values: [a]",
        "type: range, column: number, min: 1",
        'type: range, column: seen, min: "2025-01-01"',
        "type: relationships, column: name, to: names, field: title",
    ]
    assert await outcomes(step, *about_values) == [True] * 4
    assert await outcomes(step, "type: expression, sql: number > 0", "type: freshness, column: seen, max_age: 1d") == [
        False,
        False,
    ]


async def test_nan_lies_in_no_range_and_infinity_beyond_every_bound(step: CheckedStep) -> None:
    await step.put(
        "SELECT CAST('nan' AS FLOAT64) AS nan, CAST('inf' AS FLOAT64) AS more, CAST('-inf' AS FLOAT64) AS less, 1.0 AS one"
    )
    bounds = ("min: 0", "max: 0", "min: 0, max: 1", "min: -1.5")
    for column, passed in {
        "nan": [False, False, False, False],
        "more": [True, False, False, True],
        "less": [False, True, False, False],
        "one": [True, False, True, True],
    }.items():
        assert await outcomes(step, *(f"type: range, column: {column}, {bound}" for bound in bounds)) == passed, column


async def test_a_sample_of_numbers_that_json_has_not_is_json_all_the_same(step: CheckedStep) -> None:
    await step.put(
        "SELECT CAST('nan' AS FLOAT64) AS ratio, [CAST('-inf' AS FLOAT64), 0.5] AS more, NUMERIC '0.1' AS sum"
    )
    await step.run("{type: range, column: ratio, min: 0}", write=WHOLE)
    (result,) = await step.results()
    (row,) = result["sample"]
    assert (row["ratio"], row["more"], Decimal(row["sum"])) == ("nan", ["-inf", 0.5], Decimal("0.1"))


async def test_bounds_belong_to_the_range_to_the_last_digit(step: CheckedStep) -> None:
    await step.put(
        "SELECT NUMERIC '12345678901234567890123456789.123456789' AS large, NUMERIC '-0.000000001' AS small, 0.1 AS ratio,"
        " 9223372036854775807 AS number"
    )
    number = "9223372036854775807"
    assert await outcomes(
        step,
        "type: range, column: small, min: -0.000000001, max: -0.000000001",
        "type: range, column: small, min: 0",
        "type: range, column: ratio, min: 0.1, max: 0.1",
        "type: range, column: ratio, max: 0.099999999",
        f"type: range, column: number, min: {number}, max: {number}",
        f"type: range, column: number, max: {int(number) - 1}",
        "type: range, column: large, min: 12345678901234567890123456789",
        "type: range, column: large, max: 12345678901234567890123456789",
    ) == [True, False, True, False, True, False, True, False]


@pytest.mark.parametrize(
    "column", ["DATE '2025-11-15'", "DATETIME '2025-11-15 00:00:00'", "TIMESTAMP '2025-11-15 00:00:00+00'"]
)
async def test_days_and_times_are_compared_as_moments_in_utc(step: CheckedStep, column: str) -> None:
    await step.put(f"SELECT {column} AS seen")
    assert await outcomes(
        step,
        "type: range, column: seen, min: 2025-11-15, max: 2025-11-15",
        'type: range, column: seen, max: "{date}"',
        "type: range, column: seen, min: 2025-11-15T01:00:00+01:00, max: 2025-11-14T23:00:00-01:00",
        "type: range, column: seen, min: 2025-11-15T00:00:00.000001Z",
        'type: range, column: seen, max: "2025-11-14T23:59:59.999999"',
        'type: range, column: seen, min: "{moment}"',
    ) == [True, True, True, False, False, False]


async def test_values_and_bounds_come_from_parameters_in_their_own_types(step: CheckedStep) -> None:
    await step.put(
        "SELECT \"it's\" AS name, 10 AS number, NUMERIC '0.25' AS rate, TRUE AS flag, DATE '2025-11-15' AS seen"
    )
    checks = [
        'type: accepted_values, column: name, values: ["{word}"]',
        'type: accepted_values, column: number, values: ["{limit}", 5]',
        'type: accepted_values, column: flag, values: ["{flag}"]',
        'type: accepted_values, column: seen, values: ["{date}"]',
        'type: range, column: rate, max: "{rate}"',
        'type: range, column: number, min: "{limit}"',
        "type: expression, sql: number = @limit AND name = @word",
    ]
    assert await outcomes(step, *checks, word="it's", limit="10", rate="0.25") == [True] * 7
    other = {"word": "its", "limit": "11", "rate": "0.249999999", "flag": "false", "date": "2025-11-16"}
    assert await outcomes(step, *checks, **other) == [False] * 7


async def test_texts_are_accepted_character_by_character(step: CheckedStep) -> None:
    texts = ["it's", '"', "\\", "a\nb", "`", "{x}", "@limit", "é", "日本", "%", "", " a", "A", "' OR TRUE --"]
    listed = json.dumps([text.replace("{", "{{").replace("}", "}}") for text in texts])
    await step.put(_rows(texts))
    assert await outcomes(step, f"type: accepted_values, column: name, values: {listed}") == [True]
    await step.put(_rows(["its", "a", "e", "\\\\"]))
    done = await step.run(f"{{type: accepted_values, column: name, values: {listed}}}", write=WHOLE)
    assert done.outcome.failing_rows == 4


def _rows(names: Sequence[str]) -> str:
    """A SELECT of these names; JSON's escapes are GoogleSQL's."""
    return " UNION ALL ".join(f"SELECT {json.dumps(name)} AS name" for name in names)


async def test_whole_numbers_decimals_and_days_are_accepted_by_value(step: CheckedStep) -> None:
    await step.put("SELECT 1 AS number, NUMERIC '1.50' AS rate, 0.1 AS ratio, DATE '2025-11-15' AS seen, FALSE AS flag")
    assert await outcomes(
        step,
        "type: accepted_values, column: number, values: [1, 2.5]",
        "type: accepted_values, column: rate, values: [1.5]",
        "type: accepted_values, column: rate, values: [1.500000001]",
        "type: accepted_values, column: ratio, values: [0.1]",
        "type: accepted_values, column: seen, values: [2025-11-15]",
        "type: accepted_values, column: flag, values: [true]",
    ) == [True, True, False, True, True, False]


async def test_a_reference_is_found_by_value_and_only_in_the_field_that_is_named(step: CheckedStep) -> None:
    await step.put("SELECT NUMERIC '1' AS number, 'x' AS _parent", "numbers")
    await step.put("SELECT 1 AS number, 2 AS other, 'x' AS title")
    assert await outcomes(
        step,
        "type: relationships, column: number, to: numbers, field: number",
        "type: relationships, column: other, to: numbers, field: number",
        "type: relationships, column: title, to: '{tenant_id}.numbers', field: _parent",
    ) == [True, False, True]
    with pytest.raises(Terminal):
        await outcomes(step, "type: relationships, column: title, to: names, field: other")


async def test_a_condition_may_ask_another_table_of_the_tenant(step: CheckedStep) -> None:
    condition = 'type: expression, sql: "name IN (SELECT title FROM `{tenant_id}.names`) AND LENGTH(name) = 1"'
    assert await outcomes(step, condition) == [True]
    await step.put(BAD)
    assert await outcomes(step, condition) == [False]


@pytest.mark.parametrize(
    ("seen", "observed", "passed"),
    [
        ("DATE '2025-11-15'", "2025-11-15 00:00:00+00", True),
        ("DATE '2025-11-14'", "2025-11-14 00:00:00+00", False),
        ("DATETIME '2025-11-14 12:30:00'", "2025-11-14 12:30:00+00", True),
        ("DATETIME '2025-11-14 12:29:59'", "2025-11-14 12:29:59+00", False),
        ("TIMESTAMP '2025-11-14 13:30:00+01'", "2025-11-14 12:30:00+00", True),
        ("TIMESTAMP '2025-11-14 12:29:59.999999+00'", "2025-11-14 12:29:59.999999+00", False),
        ("TIMESTAMP '2026-01-01 00:00:00+00'", "2026-01-01 00:00:00+00", True),
        ("CAST(NULL AS TIMESTAMP)", "no value", False),
    ],
)
async def test_age_counts_from_when_the_run_was_accepted_whenever_it_is_checked(
    step: CheckedStep, seen: str, observed: str, passed: bool
) -> None:
    await step.put(f"SELECT {seen} AS seen UNION ALL SELECT NULL")
    done = await step.run("{type: freshness, column: seen, max_age: 1d, severity: warn}", write=WHOLE)
    assert (done.outcome.passed, done.outcome.observed) == (passed, observed)
    assert done.outcome.expected == ">= 2025-11-14 12:30:00+00"
