"""Checks that keep a template from loading: what is wrong is said at its line, before any run."""

import pytest

from common.errors import InvalidInput, TableNotAllowed
from common.templates.load import load_template
from common.templates.order import tables_read
from common.templates.resolve import resolve
from common.templates.resolved import ResolvedCheck
from common.templates.template import TemplateName
from common.templates.yaml_source import DoesNotLoad
from common.warehouse.warehouse import TableRef
from tests.unit.common.templates.conftest import Load
from tests.unit.common.templates.every_type import TODAY

HEAD = """\
description: x
parameters:
  date: {type: date, required: true}
  limit: {type: integer, required: true}
  word: {type: string, required: true}
  maybe: {type: number}
  table: {type: table, default: other}
steps:
  - id: load
    type: query
    sql: |
      WITH rows_of_a_day AS (SELECT CAST(x AS NUMERIC) AS amount, DATE(t) AS day, t AS seen, v FROM `{tenant_id}.input`)
      SELECT amount, day, seen, v AS anything, CAST(v AS STRING) AS name, @limit AS number, v IS NULL AS flag FROM rows_of_a_day
    destination: {table: out, write: replace_partition, partition: {column: day, value: "{date}"}}
    checks:
"""
LINE = 16
"""Of the check."""


def loaded(load: Load, *checks: str) -> None:
    load(HEAD + "".join(f"      - {{{check}}}\n" for check in checks))


@pytest.mark.parametrize(
    "check",
    [
        "type: accepted_values, column: name, values: [a, 'it''s', 'no']",
        "type: accepted_values, column: amount, values: [1, 2.5]",
        "type: accepted_values, column: anything, values: [2025-11-15]",
        "type: accepted_values, column: flag, values: [true]",
        'type: accepted_values, column: number, values: ["{limit}", 7]',
        'type: accepted_values, column: name, values: ["{word}", "x{word}"]',
        "type: range, column: amount, min: -0.5",
        "type: range, column: AMOUNT, min: 1, max: 1",
        'type: range, column: number, min: 5, max: "{limit}"',
        'type: range, column: day, min: 2025-01-01, max: "{date}"',
        "type: range, column: seen, min: 2025-01-01T00:00:00+01:00, max: '2025-12-31 23:59:59.999999'",
        "type: row_count, max_change: 0",
        'type: row_count, min: 5, max: "{limit}", max_change: 2.5',
        "type: freshness, column: seen, max_age: 36h",
        "type: freshness, column: day, max_age: 3d",
        "type: relationships, column: name, to: names, field: title",
        'type: relationships, column: name, to: "{source.services}", field: id',
        'type: relationships, column: name, to: "{table}", field: id',
        "type: expression, sql: \"amount >= 0 OR name = '{word}' AND day = @date\"",
        "type: expression, sql: checked.amount > 0",
        "type: expression, sql: anything.part.id = 'a'",
        "type: expression, sql: anything",
        'type: expression, sql: "EXISTS(SELECT 1 FROM UNNEST(anything) AS item WHERE item.nowhere = amount)"',
        'type: expression, sql: "amount <= (SELECT MAX(most) FROM `{tenant_id}.limits`)"',
    ],
)
def test_checks_that_fit_their_columns_load(load: Load, check: str) -> None:
    loaded(load, check)


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        ("type: accepted_values, column: name, values: []", "at least 1 item"),
        ("type: accepted_values, column: name", "'values' is missing"),
        ("type: accepted_values, column: nme, values: [a]", "the SELECT yields no column nme"),
        ("type: accepted_values, column: name, values: [no, SE]", "of one kind; put texts that YAML takes for something else"),
        ("type: accepted_values, column: name, values: [1, a]", "of one kind"),
        ("type: accepted_values, column: name, values: [null]", "must be a text, a number, a day, true or false"),
        ("type: accepted_values, column: name, values: [[a]]", "must be a text, a number, a day, true or false"),
        ("type: accepted_values, column: name, values: [.nan]", "must be a number of at most 29 digits"),
        ("type: accepted_values, column: name, values: [1]", "the column name is a text; its values are a number"),
        ("type: accepted_values, column: amount, values: [a]", "the column amount is a number; its values are a text"),
        ("type: accepted_values, column: day, values: ['2025-11-15']", "the column day is a day or time; its values are a text"),
        ("type: accepted_values, column: flag, values: ['true']", "the column flag is a boolean; its values are a text"),
        ('type: accepted_values, column: number, values: ["{word}"]', "the column number is a number; its values are a text"),
        ('type: accepted_values, column: name, values: ["{maybe}"]', "{maybe} may have no value"),
        ('type: accepted_values, column: name, values: ["{nope}"]', "unknown placeholder {nope}"),
        ("type: range, column: amount", "needs min, max or both"),
        ("type: range, column: amnt, min: 1", "the SELECT yields no column amnt"),
        ("type: range, column: amount, min: 2, max: 1", "min is greater than max"),
        ("type: range, column: day, min: 2025-02-01, max: 2025-01-31", "min is greater than max"),
        ("type: range, column: amount, min: 1, max: 2025-01-01", "both numbers or both days or times"),
        ("type: range, column: amount, min: a", "must be a number, a day such as 2025-11-15"),
        ("type: range, column: amount, min: '5'", "must be a number, a day such as 2025-11-15"),
        ("type: range, column: amount, min: true", "must be a number, a day such as 2025-11-15"),
        ("type: range, column: amount, max: .inf", "must be a number of at most 29 digits"),
        ("type: range, column: amount, max: 0.0000000001", "must be a number of at most 29 digits"),
        ("type: range, column: day, max: '2025-02-30'", "must be a number, a day such as 2025-11-15"),
        ("type: range, column: seen, min: '0001-01-01T00:00:00+14:00'", "must be a number, a day such as 2025-11-15"),
        ("type: range, column: day, min: 1", "the column day is a day or time; its bounds are a number"),
        ("type: range, column: name, min: 1", "the column name is a text; its bounds are a number"),
        ("type: range, column: number, min: 2025-01-01", "the column number is a number; its bounds are a day or time"),
        ('type: range, column: amount, min: "{word}"', "must be a number, a day such as 2025-11-15"),
        ('type: range, column: amount, min: "{date}"', "the column amount is a number; its bounds are a day or time"),
        ("type: row_count", "needs min, max or max_change"),
        ("type: row_count, min: 2, max: 1", "min is greater than max"),
        ("type: row_count, max_change: -0.1", "greater than or equal to 0"),
        ("type: row_count, max_change: half", "valid decimal"),
        ("type: freshness, column: seen", "'max_age' is missing"),
        ("type: freshness, column: sen, max_age: 1h", "the SELECT yields no column sen"),
        ("type: freshness, column: seen, max_age: 36", "must be a duration"),
        ("type: freshness, column: seen, max_age: 0s", "greater than or equal to 1"),
        ("type: freshness, column: seen, max_age: 9999d", "less than or equal to"),
        ("type: freshness, column: amount, max_age: 1h", "the column amount is a number; freshness takes a day or time"),
        ("type: relationships, column: nme, to: names, field: title", "the SELECT yields no column nme"),
        ("type: relationships, column: name, to: names", "'field' is missing"),
        ("type: relationships, column: name, to: names, field: 'a`b'", "String should match pattern"),
        ("type: relationships, column: name, to: api_keys, field: key_id", "metadata and staging tables are not allowed"),
        ("type: relationships, column: name, to: _stage_x, field: id", "metadata and staging tables are not allowed"),
        ("type: relationships, column: name, to: 'names*', field: id", "wildcards, decorators"),
        ("type: relationships, column: name, to: 'x` AS y, `z', field: id", "wildcards, decorators"),
        ("type: relationships, column: name, to: a.b.c.d, field: id", "must be the name of a table of the tenant, or a source"),
        ("type: relationships, column: name, to: '', field: id", "wildcards, decorators"),
        ("type: expression", "'sql' is missing"),
        ("type: expression, sql: ''", "must yield one column"),
        ("type: expression, sql: amnt > 0", "the SELECT yields no column amnt"),
        ("type: expression, sql: checked.amnt > 0", "the SELECT yields no column amnt"),
        ("type: expression, sql: amount + 1 > 0 AS positive", "must be one expression"),
        ("type: expression, sql: 'amount > 0, TRUE'", "must yield one column"),
        ("type: expression, sql: '*'", "must yield one column"),
        ("type: expression, sql: amount > 0) OR (TRUE", "is not GoogleSQL"),
        ("type: expression, sql: TRUE FROM `a.b`", "is not GoogleSQL"),
        ("type: expression, sql: TRUE UNION ALL SELECT FALSE", "must be one expression"),
        ("type: expression, sql: DISTINCT flag", "must be one expression"),
        ("type: expression, sql: LENGTH(name)", "must be boolean; it is a number"),
        ("type: expression, sql: COUNT(*) > 0", "is about one row: aggregates and window functions are for reconcile"),
        ("type: expression, sql: SUM(amount) OVER () > 0", "is about one row: aggregates and window functions"),
        ("type: expression, sql: 'amount > {limit}'", "{limit} is a value, and values are bound: write @limit"),
        ("type: expression, sql: amount > @nope", "unknown parameter @nope"),
        ("type: expression, sql: amount > @last_rows", "unknown parameter @last_rows"),
        ("type: expression, sql: RAND() > 0", "the function RAND is not allowed"),
        ("type: expression, sql: a.b.f(amount)", "not allowed"),
        ("type: expression, sql: amount > @@x", "variables are not allowed"),
        ('type: expression, sql: "amount IN (SELECT x FROM names)"', "the table names needs its dataset"),
        ('type: expression, sql: "name IN (SELECT key_hash FROM `{tenant_id}.api_keys`)"', "metadata and staging tables"),
    ],
)  # fmt: skip
def test_a_check_that_cannot_work_is_refused_at_its_line(load: Load, check: str, reason: str) -> None:
    with pytest.raises(DoesNotLoad) as caught:
        loaded(load, check)
    found = [str(problem) for problem in caught.value.problems]
    assert any(f"gcp/cost/example.yml:{LINE}: " in problem and reason in problem for problem in found), found


def test_every_fault_of_several_checks_is_reported_at_once(load: Load) -> None:
    with pytest.raises(DoesNotLoad) as caught:
        loaded(
            load,
            "type: range, column: name, min: 1",
            "type: expression, sql: LENGTH(name)",
            "type: row_count, min: 2, max: 1",
        )
    assert [problem.line for problem in caught.value.problems] == [16, 17, 18]


def test_two_checks_of_one_column_need_names(load: Load) -> None:
    with pytest.raises(DoesNotLoad, match="two checks of the step are named range_amount: give one a name"):
        loaded(load, "type: range, column: amount, min: 1", "type: range, column: amount, max: 2")


def test_the_change_of_rows_is_for_steps_that_have_rows(load: Load) -> None:
    text = "description: x\nsteps:\n  - id: a\n    type: dq\n    table: t\n    checks:\n      - {type: row_count, max_change: 0.5}\n"
    with pytest.raises(DoesNotLoad, match=r"example\.yml:7: max_change is for steps that publish rows"):
        load(text)


def test_columns_of_a_table_are_taken_as_they_come(load: Load) -> None:
    start, end = HEAD.index("SELECT amount, day"), HEAD.index(" FROM rows_of_a_day")
    text = f"{HEAD[:start]}SELECT *{HEAD[end:]}"
    load(text + "      - {type: range, column: whatever, min: 1}\n      - {type: expression, sql: whatever > 1}\n")


def check_of(text: str, **parameters: str) -> ResolvedCheck:
    """The check of a template, resolved for the tenant acme."""
    template = load_template((HEAD + f"      - {{{text}}}\n").encode(), TemplateName("gcp", "cost", "example"))
    values = {"limit": "3", "word": "w", **parameters}
    sources = {"services": TableRef("exports", "services", "their-project")}
    resolved = resolve(template, tenant_id="acme", sources=sources, date="2025-11-15", parameters=values, today=TODAY)
    assert resolved.steps[0].checks[0].measure.tables == tuple(
        t for t in tables_read(resolved.steps[0]) if t.table != "input"
    )
    return resolved.steps[0].checks[0]


@pytest.mark.parametrize(
    ("to", "table"),
    [
        ("names", TableRef("acme", "names")),
        ("{tenant_id}.names", TableRef("acme", "names")),
        ("{source.services}", TableRef("exports", "services", "their-project")),
        ("{table}", TableRef("acme", "other")),
    ],
)
def test_what_a_check_refers_to_is_read_like_any_other_table(to: str, table: TableRef) -> None:
    check = check_of(f'type: relationships, column: name, to: "{to}", field: id')
    assert check.measure.tables == (table,)
    assert check.sample is not None
    assert check.sample.tables == (table,)


@pytest.mark.parametrize("to", ["techcorp.names", "exports.services", "other-project.exports.services", "acme2.names"])
def test_a_table_that_was_not_granted_cannot_be_referred_to(to: str) -> None:
    with pytest.raises(TableNotAllowed):
        check_of(f"type: relationships, column: name, to: {to}, field: id")
    with pytest.raises(TableNotAllowed):
        check_of(f'type: expression, sql: "name IN (SELECT id FROM `{to}`)"')


def test_bounds_that_a_run_gives_the_wrong_way_round_fail_the_check_and_not_the_request() -> None:
    check = check_of('type: range, column: number, min: 5, max: "{limit}"', limit="3")
    assert [(p.name, p.value) for p in check.measure.statement.parameters] == [
        ("expected", ">= 5 and <= 3"),
        ("least", 5),
        ("most", 3),
    ]


def test_a_text_that_a_run_gives_for_a_bound_is_refused_with_its_place() -> None:
    text = HEAD.replace("word: {type: string, required: true}", "word: {type: string, default: 2025-01-01}")
    template = load_template(
        (text + '      - {type: range, column: seen, min: "{word}"}\n').encode(), TemplateName("gcp", "cost", "example")
    )
    parameters = {"limit": "3", "word": "0 OR 1=1"}
    with pytest.raises(InvalidInput) as caught:
        resolve(template, tenant_id="acme", sources={}, date="2025-11-15", parameters=parameters, today=TODAY)
    assert [violation.field for violation in caught.value.violations] == ["parameters"]
    assert "min: must be a number, a day" in caught.value.violations[0].description
