"""Steps that load files: what keeps one from loading, by line, and that nothing which a run gives leads elsewhere."""

import string
from collections.abc import Mapping
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidInput, LocationNotAllowed
from common.templates.file_uri import PATH_TYPES, lies_below
from common.templates.load import load_template
from common.templates.parameters import ParameterType
from common.templates.resolve import resolve, resolve_template
from common.templates.resolved import ResolvedLoad, ResolvedTemplate
from common.templates.template import Template, TemplateName
from common.warehouse.columns import Column
from common.warehouse.file_formats import CsvOptions
from tests.unit.common.templates.conftest import Load
from tests.unit.common.templates.test_injection import HOSTILE
from tests.unit.common.templates.test_load import problems

TODAY = date(2025, 11, 15)
PLACES = {"location.inbox": "gs://bucket/inbox", "shared.rates": "gs://bucket/rates"}
LOADING = """\
description: x
parameters:
  day: {type: date, default: 2025-11-15}
  number: {type: integer, default: -7}
  kind: {type: enum, values: [full, delta-1], default: full}
  flag: {type: boolean, default: true}
  part: {type: identifier, default: eu}
  text: {type: string, default: a}
  ratio: {type: number, default: 1}
  table: {type: table, default: costs}
  wild: {type: enum, values: [a, "*"], default: a}
  maybe: {type: identifier}
steps:
  - id: a
    type: load
    uri: "{location.inbox}/{tenant_id}/{day}/costs-*.csv"
    format: csv
    columns: [{name: day, type: DATE}, {name: cost, type: NUMERIC}]
    destination: {table: t, write: replace_table}
    checks: [{type: range, column: cost, min: 0}]
"""


def resolved(template: Template, parameters: Mapping[str, str] | None = None) -> ResolvedTemplate:
    return resolve(
        template, tenant_id="acme", sources={}, date="", parameters=parameters or {}, today=TODAY, places=PLACES
    )


def load_of(template: Template, parameters: Mapping[str, str] | None = None) -> ResolvedLoad:
    (step,) = resolved(template, parameters).steps
    assert step.load is not None
    return step.load


def test_a_step_is_resolved_to_files_and_columns(load: Load) -> None:
    template = load(LOADING.replace("    columns", '    csv: {skip_leading_rows: 1, delimiter: "\\t"}\n    columns'))
    assert template.places == {"location.inbox"}
    assert template.destinations == {"t": None}
    found = load_of(template)
    assert found.uri == "gs://bucket/inbox/acme/2025-11-15/costs-*.csv"
    assert found.columns == (Column("day", "DATE"), Column("cost", "NUMERIC"))
    assert found.csv == CsvOptions("\t", 1)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("gs://other/{tenant_id}/a.csv", "starts with a place"),
        ("/etc/{tenant_id}/passwd", "starts with a place"),
        ("file://{location.inbox}/{tenant_id}/a.csv", "starts with a place"),
        ("{location.inbox}{tenant_id}/a.csv", "starts with a place"),
        ("{source.rates}/{tenant_id}/a.csv", "starts with a place"),
        ("{location.inbox}/a.csv", "must be {tenant_id}"),
        ("{location.inbox}/{tenant_id}.csv", "must be {tenant_id}"),
        ("{location.inbox}/x{tenant_id}/a.csv", "must be {tenant_id}"),
        ("{location.inbox}/{part}/{tenant_id}/a.csv", "{part} stands before {tenant_id}"),
        ("{location.inbox}/{tenant_id}/../a.csv", "is empty, a dot"),
        ("{location.inbox}/{tenant_id}/./a.csv", "is empty, a dot"),
        ("{location.inbox}/{tenant_id}//a.csv", "is empty, a dot"),
        ("{location.inbox}/{tenant_id}/", "is empty, a dot"),
        ("{location.inbox}/{tenant_id}/*/a.csv", "* stands once, in the last part"),
        ("{location.inbox}/{tenant_id}/*.*", "* stands once, in the last part"),
        ("{location.inbox}/{tenant_id}/{text}.csv", "{text} can be no part of a path"),
        ("{location.inbox}/{tenant_id}/{ratio}.csv", "{ratio} can be no part of a path"),
        ("{location.inbox}/{tenant_id}/{table}.csv", "{table} can be no part of a path"),
        ("{location.inbox}/{tenant_id}/{wild}.csv", "{wild} can be no part of a path"),
        ("{location.inbox}/{tenant_id}/{maybe}.csv", "{maybe} may have no value"),
        ("{location.inbox}/{tenant_id}/{other}.csv", "unknown placeholder {other}"),
        ("{location.inbox}/{tenant_id}/{location.inbox}", "unknown placeholder {location.inbox}"),
        ("{location.inbox}/{tenant_id}/a b.csv", "other characters"),
        ("{location.inbox}/{tenant_id}/a%2e.csv", "other characters"),
        ("{location.inbox}/{tenant_id}/a?.csv", "other characters"),
        ("{location.inbox}/{tenant_id}/{{a}}.csv", "other characters"),
        ("{location.inbox}/{tenant_id}/a\\\\b.csv", "other characters"),
        ("{location.inbox}/{tenant_id}/a\\n.csv", "other characters"),
        ("{location.inbox}/{tenant_id}/a#1.csv", "other characters"),
        ("{shared.rates}/../inbox/globex/a.csv", "is empty, a dot"),
    ],
)
def test_a_uri_that_could_lead_elsewhere_is_refused_by_line(load: Load, path: str, reason: str) -> None:
    found = problems(load, LOADING.replace("{location.inbox}/{tenant_id}/{day}/costs-*.csv", path))
    (problem,) = found
    assert problem.startswith("gcp/cost/example.yml:16: ")
    assert reason in problem


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("format: csv", "format: avro", "Input should be 'csv', 'ndjson' or 'parquet'"),
        ("    columns: [{name: day, type: DATE}, {name: cost, type: NUMERIC}]\n", "", "csv needs columns"),
        ("format: csv", "format: ndjson\n    csv: {}", "csv is for the format csv"),
        ("type: NUMERIC}", "type: NUMERIC, mode: REPEATED}", "csv has neither arrays nor records"),
        ("type: NUMERIC}", "type: RECORD}", "RECORD, and nothing else, needs fields"),
        ("type: NUMERIC}", "type: NUMERIC}, {name: COST, type: STRING}", "two columns have the same name"),
        ("type: NUMERIC}", "type: BIGNUMERIC}", "Input should be"),
        ("type: NUMERIC}", "type: BOOL}", "the column cost is a boolean; its bounds are a number"),
        ("column: cost, min", "column: costs, min", "the files have no column costs"),
        ("write: replace_table", "write: view", "a view is made of a SELECT"),
        ("write: replace_table", "write: merge, keys: [other]", "the files have no column other"),
        ("write: replace_table", "write: replace_table, partition: {column: cost}", "must be a DATE or TIMESTAMP"),
        ("format: csv", "format: csv\n    csv: {delimiter: ';;'}", "delimiter"),
        ("format: csv", "format: csv\n    csv: {delimiter: '\"'}", "delimiter"),
        ("format: csv", "format: csv\n    csv: {null_marker: 'a,b'}", "null_marker holds the delimiter"),
        ("table: t", "table: pipeline_runs", "metadata"),
    ],
)
def test_what_does_not_fit_is_refused(load: Load, old: str, new: str, reason: str) -> None:
    found = problems(load, LOADING.replace(old, new, 1))
    assert any(reason in problem for problem in found), found


def test_a_step_waits_for_the_one_that_loads_what_it_reads(load: Load) -> None:
    template = load(
        LOADING
        + "  - {id: b, type: query, sql: 'SELECT * FROM `{tenant_id}.t`', destination: {table: u, write: replace_table}}\n"
    )
    assert [step.depends_on for step in resolved(template).steps] == [(), ("a",)]


def test_without_the_place_in_the_settings_the_template_loads_and_no_run_is_accepted(load: Load) -> None:
    template = load(LOADING)
    with pytest.raises(LocationNotAllowed) as caught:
        resolve(
            template,
            tenant_id="acme",
            sources={},
            date="",
            parameters={},
            today=TODAY,
            places={"shared.inbox": "gs://b"},
        )
    assert "{location.inbox}" in caught.value.message


def test_a_file_is_resolved_with_the_places_that_are_given(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "gcp" / "cost" / "example.yml"
    path.parent.mkdir(parents=True)
    path.write_text(LOADING)
    data = resolve_template(path, {"tenant_id": "acme", "location.inbox": "gs://b"})
    assert data["steps"][0]["uri"] == "gs://b/acme/2025-11-15/costs-*.csv"


def _everywhere() -> Template:
    names = "".join(f"{{{name}}}" for name in ("number", "kind", "flag", "part"))
    path = f"{{tenant_id}}/{{part}}/{{kind}}/{{flag}}-{{number}}/{names}/{{domain}}-*.{{part}}"
    return load_template(
        LOADING.replace("{tenant_id}/{day}/costs-*.csv", path).encode(), TemplateName("gcp", "cost", "example")
    )


EVERYWHERE = _everywhere()
WHERE: Mapping[str, ParameterType] = {
    "number": "integer",
    "kind": "enum",
    "flag": "boolean",
    "part": "identifier",
    "day": "date",
}
PATHS = [
    "..",
    ".",
    "/",
    "a/b",
    "../x",
    "*",
    "a*",
    "globex",
    "%2e%2e",
    "..%2f",
    "a\\b",
    "gs://other",
    "~",
    "{tenant_id}",
    "-",
    "a?b",
    "[a]",
]
anything = st.one_of(
    st.sampled_from([*HOSTILE, *PATHS]),
    st.text(max_size=20),
    st.text(string.ascii_letters + string.digits + "._-*/", max_size=20),
    st.integers().map(str),
)


def test_every_type_that_a_path_takes_is_tried() -> None:
    assert {*WHERE.values()} == {*PATH_TYPES}


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(WHERE, anything)))
def test_no_value_changes_the_shape_of_a_path_or_leaves_the_place_of_the_tenant(values: Mapping[str, str]) -> None:
    plain = load_of(EVERYWHERE).uri
    refused: InvalidInput | None = None
    try:
        uri = load_of(EVERYWHERE, values).uri
    except InvalidInput as error:
        refused = error
    if refused is not None:
        assert {violation.field for violation in refused.violations} <= {f"parameters.{name}" for name in WHERE} | {
            "parameters"
        }
        return
    assert lies_below(uri, "gs://bucket/inbox/acme")
    assert uri.count("/") == plain.count("/")
    assert uri.count("*") == 1
    assert uri.partition("*")[0].rpartition("/")[2] == "cost-"
