"""What keeps a merge or a view from loading, by line."""

import pytest

from tests.unit.common.templates.conftest import Load
from tests.unit.common.templates.test_load import problems

MERGED = """\
description: x
steps:
  - id: a
    type: query
    sql: SELECT 1 AS id, 2 AS region
    destination: {table: t, write: merge, keys: [id, region]}
"""


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ("[id, id]", "a column stands twice among the keys"),
        ("[id, ID]", "a column stands twice among the keys"),
        ("[id, other]", "the SELECT yields no column other"),
        ("[]", "merge, and nothing else, needs keys"),
        ("[id`]", "String should match pattern"),
        ("[_x" + ", _x" * 16 + "]", "at most 16"),
    ],
)
def test_keys_that_tell_no_rows_apart_are_refused_by_line(load: Load, keys: str, reason: str) -> None:
    load(MERGED)
    (problem,) = problems(load, MERGED.replace("[id, region]", keys))
    assert problem.startswith("gcp/cost/example.yml:6: ")
    assert reason in problem


VIEW = """\
description: x
parameters: {n: {type: integer, default: 1}, t: {type: table, default: costs}}
steps:
  - id: a
    type: query
    sql: SELECT service FROM `{tenant_id}.costs` JOIN {t} USING (service)
    destination: {table: v, write: view}
    checks:
      - {type: not_null, column: service}
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        ("costs` JOIN", "costs` AS c CROSS JOIN `{source.rates}` JOIN", 6, "sample_sources.rates is a source"),
        ("USING (service)", "USING (service) WHERE 1 = @n", 6, "takes no values: not @n"),
        ("USING (service)", "USING (service) WHERE 'x' = '{tenant_id}'", 6, "takes no values: not @tenant_id"),
        ("write: view", "write: view, clustering: [service]", 7, "a view has no rows of its own"),
        ("write: view", "write: view, partition: {column: service}", 7, "a view has no rows of its own"),
        ("write: view", "write: view, keys: [service]", 7, "merge, and nothing else, needs keys"),
        ("write: view}", "write: view}\n    credential: mine", 4, "a view runs as whoever reads it: it takes no credential"),
        ("{tenant_id}.costs", "{tenant_id}.v", 6, "a view cannot read itself"),
        ("default: costs", "default: v", 6, "a view cannot read itself"),
        ("type: not_null, column: service", "type: row_count, max_change: 0.5", 9, "max_change is for steps that publish rows"),
    ],
)  # fmt: skip
def test_what_a_view_cannot_have_is_refused_by_line(load: Load, old: str, new: str, line: int, reason: str) -> None:
    assert VIEW.count(old) == 1
    assert load(VIEW).destinations == {"v": None}
    found = problems(load, VIEW.replace(old, new))
    assert any(problem.startswith(f"gcp/cost/example.yml:{line}: ") and reason in problem for problem in found), found


def test_a_view_tells_no_newest_row(load: Load) -> None:
    load(MERGED + "    newest_source_row: SELECT MAX(export_time) FROM `{source.export}`\n")
    (problem,) = problems(load, VIEW + "    newest_source_row: SELECT MAX(at) FROM `{tenant_id}.costs`\n")
    assert "a view reads its tables when it is read" in problem


@pytest.mark.parametrize(
    ("select", "reason"),
    [
        ("SELECT MAX(end_time) FROM `{tenant_id}.pipeline_runs`", "metadata and staging tables are not allowed"),
        ("SELECT MAX(export_time), 1 FROM `{source.export}`", "one column"),
        ("DELETE FROM `{source.export}` WHERE TRUE", "is not GoogleSQL"),
        ("SELECT MAX(x) FROM checked", "the table checked needs its dataset"),
    ],
)
def test_the_newest_row_is_looked_for_by_one_select_of_what_the_step_may_read(
    load: Load, select: str, reason: str
) -> None:
    problem, *_ = problems(load, MERGED + f"    newest_source_row: {select}\n")
    assert problem.startswith("gcp/cost/example.yml:7: ")
    assert reason in problem
