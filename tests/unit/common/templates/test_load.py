"""What keeps a template from loading: each is named with its line, and says what to write instead where that is not plain."""

import json
from pathlib import Path

import pytest

from common.templates.load import load_template
from common.templates.template import TemplateFile, TemplateName
from common.templates.yaml_source import DoesNotLoad
from tests.unit.common.templates.conftest import Load

GOOD = """\
description: Of {tenant_id}
parameters:
  date: {type: date, required: true}
  region: {type: string, default: "{provider}"}
  table: {type: table, default: other}
  column: {type: identifier, default: amount}
  kind: {type: enum, values: [a, b], required: true}
  note: {type: string}
steps:
  - id: first
    type: query
    sql: |
      SELECT DATE(day) AS day, {column} AS amount, '{region}' AS region
      FROM `{source.billing_export}`
      JOIN {table} USING (day)
      WHERE day = '{date}' AND @kind = 'a' AND @note IS NULL
    destination: {table: "{domain}_daily", write: replace_partition, partition: {column: day, value: "{date}"}}
    checks:
      - {type: not_null, column: day}
      - {type: reconcile, measure: SUM(amount), with: "SELECT 1", tolerance: 0.01}
    timeout: 90s
  - id: second
    type: dq
    table: cost_daily
    checks:
      - {type: unique, columns: [day]}
"""


def problems(load: Load, text: str) -> list[str]:
    with pytest.raises(DoesNotLoad) as caught:
        load(text)
    return [str(problem) for problem in caught.value.problems]


def replaced(old: str, new: str) -> str:
    assert GOOD.count(old) == 1, old
    return GOOD.replace(old, new)


def sql(text: str) -> str:
    """A template whose only step runs this SQL; its text begins on line 7."""
    lines = "".join(f"      {line}\n" for line in text.split("\n"))
    return (
        "description: x\nparameters: {date: {type: date, required: true}, maybe: {type: identifier}}\nsteps:\n"
        f"  - id: a\n    type: query\n    sql: |\n{lines}    destination: {{table: t, write: replace_table}}\n"
    )


def test_a_good_template_loads_and_says_what_it_publishes_and_reads(load: Load) -> None:
    template = load(GOOD)
    assert template.destinations == {"cost_daily": "day"}
    assert template.sources == {"billing_export"}
    assert template.description == "Of {tenant_id}"
    assert template.parameters["region"].default == "{provider}"
    assert len(template.digest) == 64


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        ("description: Of", "description: {Of", 1, "is not YAML"),
        ("{tenant_id}", "{tenant}", 1, "unknown placeholder {tenant}"),
        ("{tenant_id}", "{tenant_id", 1, "a literal { is written {{"),
        ("{tenant_id}", "{note}", 1, "{note} may have no value: make the parameter required or give it a default"),
        ("date: {type: date", "date: {type: string", 3, "the parameter date has the type date"),
        ("  region: {type", "  provider: {type: string}\n  region: {type", 4, "the name provider is taken"),
        ("type: string, default", "type: text, default", 4, "type: Input should be"),
        ("default: other}", "default: api_keys}", 5, "is not a table that this tenant may read"),
        ("default: other}", "default: techcorp.cost_daily}", 5, "is not a table that this tenant may read"),
        ("default: amount}", "default: 'a b'}", 6, "must be at most 128 characters"),
        ("values: [a, b], ", "", 7, "the type enum needs values"),
        ("[a, b], required: true", "[a, b], required: true, default: a", 7, "a required parameter has no use for a default"),
        ("  - id: second", "  - id: first", 22, "two steps have the id first"),
        ("    timeout: 90s", "    timeout: 90s\n    timeout: 91s", 22, "the key 'timeout' stands here twice"),
        ("    timeout: 90s", "    timeuot: 90s", 21, "unknown key 'timeuot'"),
        ("    timeout: 90s", "    timeout: 90", 21, "timeout: must be a duration such as 30s, 10m or 2h"),
        ("    timeout: 90s", "    max_bytes_billed: 10GB", 21, "max_bytes_billed: must be an amount such as"),
        ("    timeout: 90s", "    depends_on: [third]", 21, "third is no step"),
        ("    timeout: 90s", "    depends_on: [first]", 9, "the steps wait for each other: first <- first"),
        ("    type: dq\n", "", 22, "'type' is missing"),
        ("    type: dq", "    type: shell", 22, "Input tag 'shell'"),
        ("    table: cost_daily\n", "", 22, "'table' is missing"),
        ("    table: cost_daily", "    table: tenant_settings", 24, "table: metadata and staging tables are not allowed"),
        ('"{domain}_daily"', "api_keys", 17, "table: metadata and staging tables are not allowed"),
        ('"{domain}_daily"', "_stage_x", 17, "table: metadata and staging tables are not allowed"),
        ('"{domain}_daily"', "cost*", 17, "table: wildcards, decorators and names out of the ordinary are not allowed"),
        ('"{domain}_daily"', "other.cost_daily", 17, "table: wildcards, decorators"),
        ('"{domain}_daily"', '"{region}"', 17, "{region} varies: a step publishes one table for every tenant and run"),
        ('"{domain}_daily"', '"{tenant_id}"', 17, "{tenant_id} varies"),
        ("column: day, value", 'column: "{column}", value', 17, "{column} varies"),
        ("replace_partition", "replace_table", 17, "replace_partition, and nothing else, needs partition.column"),
        ("replace_partition", "merge", 17, "replace_partition, and nothing else, needs partition.column"),
        ("write: replace_partition", "write: replace_partition, keys: [day]", 17, "merge, and nothing else, needs keys"),
        ("replace_partition", "append", 17, "write: Input should be"),
        ('value: "{date}"', 'value: "{date}-x"', 17, "value: Input should be a valid date"),
        ("column: day, value", "column: dya, value", 17, "the SELECT yields no column dya"),
        ("- {type: not_null, column: day}", "- {type: not_null, column: dya}", 19, "the SELECT yields no column dya"),
        ("- {type: not_null, column: day}", "- {type: not_nil, column: day}", 19, "Input tag 'not_nil'"),
        ("- {type: not_null, column: day}", "- {type: row_count}", 19, "needs min, max or max_change"),
        ("- {type: not_null, column: day}", "- {type: not_null, column: day`}", 19, "column: String should match pattern"),
        (
            "- {type: unique, columns: [day]}",
            "- {type: row_count, min: 1}\n      - {type: row_count, max: 2}",
            27,
            "two checks of the step are named row_count",
        ),
        ("measure: SUM(amount)", "measure: SUM(amount) FROM x", 20, "is not GoogleSQL"),
        ("measure: SUM(amount)", 'measure: "SUM(amount), 1"', 20, "must yield one column"),
        ("measure: SUM(amount)", "measure: SUM(read_text(amount))", 20, "the function READ_TEXT is not allowed"),
        ('with: "SELECT 1"', 'with: "SELECT 1, 2"', 20, "must yield one column"),
        ('with: "SELECT 1"', 'with: "SELECT COUNT(*) FROM `{tenant_id}.api_keys`"', 20, "metadata and staging tables"),
        ("    table: cost_daily", "    table: &t cost_daily\n    id: *t", 25, "the key 'id' stands here twice"),
        ("columns: [day]", "columns: [1]", 26, "columns: Input should be a valid string"),
        ("steps:", "steps: []\nmore:", 9, "steps: Tuple should have at least 1 item"),
    ],
)  # fmt: skip
def test_a_faulty_template_is_refused_with_file_line_and_reason(
    load: Load, old: str, new: str, line: int, reason: str
) -> None:
    found = problems(load, replaced(old, new))
    assert any(f"gcp/cost/example.yml:{line}: " in problem and reason in problem for problem in found), found


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("SELECT 1\nFROM `{nope}.t`", 8, "unknown placeholder {nope}"),
        ("SELECT 1\nWHERE x = {date}", 8, "{date} is a value, and values are bound: write @date"),
        ("SELECT 1\nWHERE x = 'd {date}'", 8, "{date} stands inside a longer literal: bind it, for example CONCAT('...', @date)"),
        ("SELECT 1\nWHERE x = '{nope}'", 8, "unknown placeholder {nope}"),
        ("SELECT '''{date}'''", 7, "{date} stands inside a longer literal"),
        ("SELECT r'{date}'", 7, "{date} stands inside a longer literal"),
        ("SELECT 1 FROM `{tenant_id}.x_{date}`", 7, "{date} is a value, and values are bound: write @date"),
        ("SELECT {maybe}", 7, "{maybe} may have no value: make the parameter required or give it a default"),
        ("SELECT 1 FROM a_{tenant_id}.t", 7, "{tenant_id} touches other characters"),
        ("SELECT 1 FROM {tenant_id}_a.t", 7, "{tenant_id} touches other characters"),
        ("SELECT @nope", 7, "unknown parameter @nope"),
        ("SELECT @{date}", 7, "{date} is a value"),
        ("SELECT 'it", 7, "' has no counterpart"),
        ("SELECT `it", 7, "` has no counterpart"),
        ("SELECT /* it", 7, "/* has no counterpart"),
        ("SELECT }", 7, "} has no counterpart"),
        ("SELECT 1\nFROM\nWHERE", 9, "is not GoogleSQL"),
        ("SELECT 1; SELECT 2", 7, "must be one statement"),
        ("", 7, "must be a SELECT"),
        ("DELETE FROM `{tenant_id}.t` WHERE TRUE", 7, "must be a SELECT"),
        ("INSERT INTO `{tenant_id}.t` SELECT 1", 7, "must be a SELECT"),
        ("CREATE TABLE `{tenant_id}.t` AS SELECT 1", 7, "must be a SELECT"),
        ("EXPORT DATA OPTIONS(uri='gs://x') AS SELECT 1", 7, "must be a SELECT"),
        ("CALL x.y()", 7, "must be a SELECT"),
        ("BEGIN SELECT 1; END", 7, "must be"),
        ("SELECT *\nFROM read_text('/etc/hostname')", 8, "the function READ_TEXT is not allowed"),
        ("SELECT x.y.f(1)", 7, "not allowed"),
        ("SELECT `x.y.f`(1)", 7, "is not allowed"),
        ("SELECT x.sum(1)", 7, "not allowed"),
        ("SELECT ML.PREDICT(1)", 7, "is not GoogleSQL: Expected table name"),
        ("SELECT * FROM ML.PREDICT(MODEL `a.b`, TABLE `a.c`)", 7, ""),
        ("SELECT AI.GENERATE('x')", 7, "not allowed"),
        ("SELECT * FROM EXTERNAL_QUERY('c', 'SELECT 1')", 7, "the function EXTERNAL_QUERY is not allowed"),
        ("SELECT @@project_id", 7, "variables are not allowed"),
        ("SELECT ?", 7, "not allowed"),
        ("SELECT SESSION_USER()", 7, "the function SESSION_USER is not allowed"),
        ("SELECT CURRENT_DATE()", 7, "the function CURRENT_DATE is not allowed"),
        ("SELECT RAND()", 7, "the function RAND is not allowed"),
        ("SELECT ERROR('x')", 7, "the function ERROR is not allowed"),
        ("SELECT 1 AS new", 7, "new is a reserved keyword: as a name it must be in backquotes"),
        ("SELECT t.at FROM (SELECT 1 AS at) AS t", 7, "at is a reserved keyword"),
        ("SELECT 1\nFROM t", 8, "the table t needs its dataset: `{tenant_id}.t` or a source"),
        ("WITH t AS (SELECT * FROM t) SELECT * FROM t", 7, "the table t needs its dataset"),
        ("SELECT (WITH t AS (SELECT 1) SELECT 1 FROM t) FROM t", 7, "the table t needs its dataset"),
        ("SELECT 1 FROM (SELECT 1 FROM o.x AS {tenant_id}), {tenant_id}.api_keys", 7, "metadata and staging tables are not allowed"),
        ("SELECT * FROM `{tenant_id}.api_keys`", 7, "metadata and staging tables are not allowed"),
        ("SELECT * FROM `{tenant_id}.API_Keys`", 7, "metadata and staging tables are not allowed"),
        ("SELECT * FROM {tenant_id}._stage_x", 7, "metadata and staging tables are not allowed"),
        ("SELECT 1 WHERE EXISTS (SELECT 1 FROM {tenant_id}.audit_log)", 7, "metadata and staging tables are not allowed"),
        ("SELECT * FROM `{tenant_id}.cost_*`", 7, "wildcards, decorators and names out of the ordinary"),
        ("SELECT * FROM `{tenant_id}.t$20251115`", 7, "wildcards, decorators"),
        ("SELECT * FROM `{tenant_id}.t@0`", 7, "wildcards, decorators"),
        ("SELECT * FROM `{tenant_id}.INFORMATION_SCHEMA.TABLES`", 7, "wildcards, decorators"),
        ("SELECT * FROM {tenant_id}.INFORMATION_SCHEMA.TABLES", 7, "wildcards, decorators"),
        ("SELECT * FROM INFORMATION_SCHEMA.TABLES", 7, ""),
        ("SELECT * FROM `region-us`.INFORMATION_SCHEMA.JOBS", 7, ""),
        ("SELECT * FROM {tenant_id}.__TABLES__", 7, "metadata and staging tables are not allowed"),
        ("SELECT * FROM a.b.c.d", 7, ""),
        ("SELECT * FROM {tenant_id}.t TABLESAMPLE SYSTEM (1 PERCENT)", 7, "TABLESAMPLE"),
        ("SELECT * FROM {tenant_id}.t PIVOT(SUM(a) FOR b IN ('x'))", 7, "PIVOT"),
        ("SELECT DATE @date", 7, "variables are not allowed"),
    ],
)  # fmt: skip
def test_sql_that_reaches_too_far_or_pastes_a_value_is_refused(load: Load, text: str, line: int, reason: str) -> None:
    found = problems(load, sql(text))
    assert len(found) == 1, found
    assert found[0].startswith(f"gcp/cost/example.yml:{line}: "), found
    assert reason in found[0]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1;",
        "SELECT '{{}}' AS braces -- {anything} at all; `\n# {more}\n/* '{x} */",
        "SELECT DATE '{date}' AS day, TIMESTAMP('{date}') AS start",
        "WITH t AS (SELECT 1 AS x) SELECT x FROM t UNION ALL SELECT y FROM (SELECT 2 AS y)",
        "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 9) SELECT n FROM t",
        "WITH a AS (SELECT 1 AS x), b AS (SELECT x FROM a) SELECT b.x FROM b JOIN a USING (x)",
        "SELECT t.a.b[OFFSET(0)].c AS x FROM {tenant_id}.t AS t, UNNEST(t.items) AS item WITH OFFSET AS i",
        "SELECT t.x, item FROM {tenant_id}.t AS t, t.items AS item",
        "SELECT * EXCEPT (a) REPLACE (b + 1 AS b) FROM {tenant_id}.t FOR SYSTEM_TIME AS OF TIMESTAMP(@date)",
        "SELECT ROW_NUMBER() OVER (PARTITION BY a ORDER BY b ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS n FROM {tenant_id}.t",
        "SELECT a, SUM(IF(b > 0, b, 0)) AS s FROM {tenant_id}.t GROUP BY ROLLUP (a) HAVING s > 1 QUALIFY RANK() OVER (ORDER BY a) < 3",
        "SELECT CASE WHEN a BETWEEN 1 AND 2 OR NOT b IS NULL THEN SAFE_DIVIDE(a, b) END AS x FROM {tenant_id}.t WHERE c LIKE 'x%'",
        "SELECT ARRAY_AGG(STRUCT(a AS k, b AS v) ORDER BY a LIMIT 3) AS x FROM {tenant_id}.t",
        "SELECT EXTRACT(YEAR FROM a) AS y, DATE_ADD(a, INTERVAL 1 DAY) AS n, FORMAT_DATE('%Y%m', a) AS m FROM {tenant_id}.t",
        "SELECT JSON_VALUE(a, '$.b') AS x, SAFE.SUBSTR(b, 1) AS y, REGEXP_EXTRACT(c, r'(\\d+)') AS z FROM {tenant_id}.t",
        "SELECT 'it\\'s {{' AS x, \"a\" AS y",
        "SELECT a FROM elsewhere.shared_rates",
    ],
)  # fmt: skip
def test_the_sql_that_cost_pipelines_are_made_of_is_allowed(load: Load, text: str) -> None:
    load(sql(text))


def test_every_problem_of_a_stage_is_reported_at_once(load: Load) -> None:
    text = replaced("{tenant_id}", "{a}").replace("AND @kind = 'a'", "AND x = {b}").replace("SUM(amount)", '"SUM({c})"')
    assert [problem.split(" ", 1)[0] for problem in problems(load, text)] == [
        "gcp/cost/example.yml:1:", "gcp/cost/example.yml:16:", "gcp/cost/example.yml:20:"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", 1),
        (b"- a\n- b\n", 1),
        (b"a: b\n\xff\n", 2),
        (b"a: !!python/object/apply:os.system [x]\n", 1),
        (b"a: &a [x]\nb: *a\n", 1),
        (b"a: &a\n  b: *a\n", 1),
        (b"a: b\n---\nc: d\n", 2),
        (b"1: b\n", 1),
        (b"a: 2025-02-30\n", 1),
        (b"a: \x00\n", 1),
        (b"[" * 3000, 1),
    ],
)
def test_content_that_is_no_template_is_a_problem_and_no_crash(content: bytes, line: int) -> None:
    with pytest.raises(DoesNotLoad) as caught:
        load_template(content, TemplateName("gcp", "cost", "example"))
    assert caught.value.problems[0].line == line


def test_the_language_has_a_json_schema() -> None:
    schema = TemplateFile.model_json_schema()
    assert set(schema["properties"]) == {
        "description",
        "exclusive",
        "max_active_runs",
        "max_bytes",
        "parameters",
        "steps",
        "timeout",
    }
    assert json.dumps(schema)


def test_folded_and_quoted_sql_is_reported_at_its_first_line(load: Load) -> None:
    text = sql("SELECT 1\nFROM t").replace("sql: |", "sql: >")
    assert problems(load, text)[0].startswith("gcp/cost/example.yml:6: ")


def test_shipped_templates_load_without_a_problem() -> None:
    configs = Path(__file__).parents[4] / "configs"
    for path in configs.glob("gcp/*/*.yml"):
        load_template(path.read_bytes(), TemplateName(*path.with_suffix("").parts[-3:]))


def test_steps_that_read_what_the_other_publishes_wait_for_each_other(load: Load) -> None:
    step = "  - {{id: {0}, type: query, sql: 'SELECT x FROM {{tenant_id}}.{1}', destination: {{table: {0}, write: replace_table}}}}\n"
    text = "description: x\nsteps:\n" + step.format("a", "b") + step.format("b", "a")
    assert problems(load, text) == ["gcp/cost/example.yml:2: the steps wait for each other: a <- b <- a"]
