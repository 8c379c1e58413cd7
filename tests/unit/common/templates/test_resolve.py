"""Resolving: what a request may say, what it is told, and that nothing it says changes what a statement does."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
import sqlglot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import (
    InvalidInput,
    SourceNotGranted,
    TableNotAllowed,
    TemplateInvalid,
    TemplateNotFound,
    Violation,
)
from common.templates.catalog import Catalog, default_configs_dir
from common.templates.load import load_template
from common.templates.order import tables_read
from common.templates.resolve import get_template_path, resolve, resolve_template
from common.templates.resolved import ResolvedStatement, ResolvedTemplate
from common.templates.tables import check_tables, may_read
from common.templates.template import Template, TemplateName
from common.warehouse.warehouse import TableRef
from tests.unit.common.templates.conftest import Load

SOURCES = {"billing_export": TableRef("exports", "billing", "their-project"), "rates": TableRef("shared", "rates")}
EVERY_TYPE = """\
description: Of {tenant_id}
parameters:
  date: {type: date, required: true}
  text: {type: string, default: none}
  count: {type: integer, default: 3}
  ratio: {type: number, default: 0.5}
  flag: {type: boolean, default: true}
  kind: {type: enum, values: [a, b], default: a}
  source: {type: table, default: other}
  column: {type: identifier, default: amount}
  note: {type: string}
steps:
  - id: only
    type: query
    sql: |
      SELECT {column} AS amount, '{text}' AS text, @count AS n, @ratio AS r, @flag AS f, '{kind}' AS k, @note AS note, '{source}' AS s
      FROM {source} JOIN `{tenant_id}.{column}` USING (day) WHERE day = '{date}'
    destination: {table: out, write: replace_partition, partition: {column: day, value: "{date}"}}
    max_attempts: "{count}"
    checks:
      - {type: reconcile, measure: "SUM({column})", with: "SELECT SUM({column}) FROM {source} WHERE day = @date AND x = '{text}'"}
""".replace("AS amount,", "AS amount, day,")


@pytest.fixture(scope="module")
def every_type() -> Template:
    return load_template(EVERY_TYPE.encode(), TemplateName("gcp", "cost", "example"))


def run(template: Template, day: str = "2025-11-15", **parameters: str) -> ResolvedTemplate:
    return resolve(template, tenant_id="acme", sources=SOURCES, date=day, parameters=parameters)


def statements(resolved: ResolvedTemplate) -> list[ResolvedStatement]:
    found = [step.query.select for step in resolved.steps if step.query]
    for step in resolved.steps:
        found += [statement for check in step.checks for statement in (check.measure, check.sample) if statement]
    return found


def violations(template: Template, day: str = "2025-11-15", **parameters: str) -> dict[str, str]:
    with pytest.raises(InvalidInput) as caught:
        run(template, day, **parameters)
    return {violation.field: violation.description for violation in caught.value.violations}


def test_values_are_bound_with_their_types_and_kept_in_canonical_text(every_type: Template) -> None:
    resolved = run(every_type, text="it's", count="007", ratio="-1.50", flag="false", kind="b", source="rates")
    statement = statements(resolved)[0].statement
    assert {p.name: (p.type, p.value) for p in statement.parameters} == {
        "date": ("DATE", date(2025, 11, 15)),
        "text": ("STRING", "it's"),
        "count": ("INT64", 7),
        "ratio": ("NUMERIC", Decimal("-1.5")),
        "flag": ("BOOL", False),
        "kind": ("STRING", "b"),
        "source": ("STRING", "shared.rates"),
        "note": ("STRING", None),
    }
    assert dict(resolved.parameters) == {
        "column": "amount",
        "count": "7",
        "date": "2025-11-15",
        "flag": "false",
        "kind": "b",
        "ratio": "-1.5",
        "source": "shared.rates",
        "text": "it's",
    }
    assert resolved.parameters == tuple(sorted(resolved.parameters))
    assert resolved.steps[0].max_attempts == 7


def test_a_run_is_described_by_what_it_is_made_of(every_type: Template) -> None:
    resolved = run(every_type)
    assert resolved.pipeline_id == "acme-gcp-cost-example"
    assert resolved.description == "Of acme"
    assert resolved.digest == every_type.digest
    assert statements(resolved)[0].tables == (TableRef("acme", "other"), TableRef("acme", "amount"))
    assert statements(resolved)[1].tables == (TableRef("acme", "other"),)


def test_every_violation_is_reported_at_once(every_type: Template) -> None:
    found = violations(
        every_type,
        "2025-02-30",
        date="2025-11-15",
        count="1.5",
        ratio="1e3",
        flag="yes",
        kind="c",
        column="a b",
        nope="1",
    )
    assert found == {
        "date": "must be a day that exists, YYYY-MM-DD",
        "parameters.date": "belongs into the field date",
        "parameters.count": "must be an integer of 64 bits",
        "parameters.ratio": "must be a decimal number of at most 29 digits before the point and 9 after it",
        "parameters.flag": "must be true or false",
        "parameters.kind": "must be one of a, b",
        "parameters.column": "must be at most 128 characters of A-Z, a-z, 0-9 and _, not starting with a digit",
        "parameters.nope": "is unknown; the template takes column, count, flag, kind, note, ratio, source, text",
    }


@pytest.mark.parametrize(
    "day", ["", "2025-02-30", "2025-13-01", "20251115", "2025-11-15T00:00", "２０２５-11-15", "x", " "]
)
def test_a_date_that_is_missing_or_does_not_exist_is_refused(every_type: Template, day: str) -> None:
    assert set(violations(every_type, day)) == {"date"}


def test_a_date_is_refused_where_the_template_takes_none(load: Load) -> None:
    template = load(
        "description: x\nsteps: [{id: a, type: query, sql: SELECT 1 AS x, destination: {table: t, write: replace_table}}]"
    )
    assert violations(template) == {"date": "the template takes no date"}
    assert run(template, "").parameters == ()


@pytest.mark.parametrize("number", ["9223372036854775808", "-9223372036854775809", "٣", "", "+1", "1_000", "0x1"])
def test_an_integer_outside_of_64_bits_or_in_another_notation_is_refused(every_type: Template, number: str) -> None:
    assert set(violations(every_type, count=number)) == {"parameters.count"}


def test_without_the_source_that_it_reads_a_template_is_refused_and_the_source_named(shipped: Catalog) -> None:
    template = shipped.get("gcp", "cost", "bill-sample-export-template")
    with pytest.raises(SourceNotGranted) as caught:
        resolve(template, tenant_id="acme", sources={}, date="2025-11-15", parameters={})
    assert caught.value.metadata == {"source": "billing_export"}


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("cost_daily", TableRef("acme", "cost_daily")),
        ("acme.cost_daily", TableRef("acme", "cost_daily")),
        ("rates", TableRef("shared", "rates")),
        ("shared.rates", TableRef("shared", "rates")),
        ("their-project.exports.billing", TableRef("exports", "billing", "their-project")),
    ],
)
def test_a_table_parameter_takes_own_tables_and_granted_sources(
    every_type: Template, text: str, table: TableRef
) -> None:
    assert statements(run(every_type, source=text))[0].tables[0] == table


@pytest.mark.parametrize("bare", ["api_keys", "API_KEYS", "tenant_settings", "_stage_1", "_STAGE_1", "__TABLES__"])
@pytest.mark.parametrize(
    "form", ["{}", "`{}`", "{}*", "acme.{}", "`acme.{}`", "acme.{}$20251115", "own-project.acme.{}"]
)
def test_metadata_and_staging_tables_are_out_of_reach_in_any_form(every_type: Template, bare: str, form: str) -> None:
    with pytest.raises(TableNotAllowed):
        run(every_type, source=form.format(bare))


@pytest.mark.parametrize(
    "text",
    [
        "techcorp.cost_daily",
        "`techcorp.cost_daily`",
        "techcorp.cost_*",
        "techcorp.api_keys",
        "billing_export_techcorp.gcp_billing_export_v1",
        "exports.billing",
        "other-project.exports.billing",
        "their-project.exports.other",
        "shared.Rates",
        "Acme.cost_daily",
        "`cost_daily`",
        "cost_*",
        "cost_daily@0",
        "INFORMATION_SCHEMA.TABLES",
        "acme.INFORMATION_SCHEMA.TABLES",
        "read_text('/etc/hostname')",
        "(SELECT 1)",
        "x; DROP TABLE acme.cost_daily",
        "x` JOIN `techcorp.cost_daily",
        "a.b.c.d",
        ".",
        "",
        " cost_daily",
        "cost_daily\n",
        "cöst",
    ],
)
def test_what_is_not_the_tenants_gets_one_answer_whatever_it_is(every_type: Template, text: str) -> None:
    with pytest.raises(TableNotAllowed) as caught:
        run(every_type, source=text)
    assert caught.value.violations == (Violation("parameters.source", "is not a table that this tenant may read"),)


@pytest.mark.parametrize("name", ["api_keys", "API_KEYS", "_stage_x", "__TABLES__", "INFORMATION_SCHEMA"])
def test_an_identifier_that_makes_a_table_name_cannot_reach_metadata_either(every_type: Template, name: str) -> None:
    with pytest.raises(TableNotAllowed):
        run(every_type, column=name)


def test_a_table_named_in_a_template_needs_a_grant_like_any_other(load: Load) -> None:
    template = load(
        "description: x\nsteps: [{id: a, type: query, sql: SELECT x FROM techcorp.cost_daily,"
        " destination: {table: t, write: replace_table}}]"
    )
    with pytest.raises(TableNotAllowed, match=r"techcorp\.cost_daily"):
        run(template, "")
    resolve(template, tenant_id="techcorp", sources={}, date="", parameters={})


def test_a_grant_does_not_open_what_no_template_may_read() -> None:
    sources = {"keys": TableRef("techcorp", "api_keys"), "all": TableRef("techcorp", "cost_*")}
    for table in sources.values():
        assert not may_read(table, "acme", sources)
        with pytest.raises(TableNotAllowed):
            check_tables([table], "acme", sources)


def test_tables_are_checked_again_with_the_grants_of_that_moment(every_type: Template) -> None:
    resolved = run(every_type, source="rates")
    tables = [table for step in resolved.steps for table in tables_read(step)]
    check_tables(tables, "acme", SOURCES)
    with pytest.raises(TableNotAllowed) as caught:
        check_tables(tables, "acme", {})
    assert [violation.description for violation in caught.value.violations] == [
        "the table shared.rates is out of reach"
    ]


def test_a_step_waits_for_those_that_publish_what_it_reads(load: Load) -> None:
    query = "type: query, destination: {{table: {}, write: replace_table}}, sql: '{}'"
    steps = {
        "report": query.format("report", "SELECT x FROM {tenant_id}.first JOIN {tenant_id}.report USING (x)"),
        "checked": "type: dq, table: report, checks: [{type: row_count, min: 1}]",
        "first": query.format("first", "SELECT 1 AS x"),
        "compared": query.format("third", "SELECT 1 AS x")
        + ", checks: [{type: reconcile, measure: SUM(x), with: 'SELECT SUM(x) FROM {tenant_id}.first'}]",
        "again": query.format("fourth", "SELECT x FROM {tenant_id}.late") + ", depends_on: [checked]",
        "late": query.format("late", "SELECT x FROM {tenant_id}.fourth") + ", depends_on: [again]",
    }
    text = "\n".join(f"  - {{id: {name}, {body}}}" for name, body in steps.items())
    resolved = run(load(f"description: x\nsteps:\n{text}"), "")
    assert {step.step_id: step.depends_on for step in resolved.steps} == {
        "report": ("first",),
        "checked": ("report",),
        "first": (),
        "compared": ("first",),
        "again": ("checked",),
        "late": ("again",),
    }


HOSTILE = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            "'", "\\", "\\'", '"', "`", "'''", "--", "/*", "*/", ";", "{date}", "{{", "@date", "\n", "\0", "NULL",
            "' OR 1=1 --", "2025-11-15' OR '1'='1", "'); DROP TABLE acme.api_keys; --", "` UNION ALL SELECT * FROM `techcorp.api_keys",
            "x UNION ALL SELECT key_hash FROM acme.api_keys", "acme.api_keys", "techcorp.cost_daily", "rates", "cost_daily", "amount",
            "read_text('/etc/hostname')", "2025-11-15", "1", "0.5", "true", "b", "a.b.c", "INFORMATION_SCHEMA.TABLES",
        ]
    ),
)  # fmt: skip


def skeleton(statement: ResolvedStatement) -> list[str]:
    """The kinds of the nodes of a statement's parse tree; how a table's name is divided among them left out."""
    tree = sqlglot.parse_one(statement.statement.sql, read="bigquery")
    return [type(node).__name__ for node in tree.walk() if not isinstance(node, sqlglot.exp.Identifier)]


def templates() -> Mapping[str, Template]:
    """Every shipped template, and one with parameters of every type."""
    catalog = Catalog(default_configs_dir())
    catalog.load()
    shipped = {str(entry.key): entry.template for entry in catalog.list() if entry.template}
    return {**shipped, "every type": load_template(EVERY_TYPE.encode(), TemplateName("gcp", "cost", "example"))}


TEMPLATES = templates()


@pytest.mark.parametrize("name", TEMPLATES)
@settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_value_of_any_parameter_changes_what_a_statement_does(name: str, data: st.DataObject) -> None:
    template = TEMPLATES[name]
    plain = run(template)
    parameters = {
        parameter: data.draw(HOSTILE, label=parameter)
        for parameter in template.parameters
        if data.draw(st.booleans(), label=f"give {parameter}")
    }
    day = parameters.pop("date", "2025-11-15")
    try:
        hostile = run(template, day, **parameters)
    except InvalidInput:
        return
    assert [skeleton(statement) for statement in statements(hostile)] == [skeleton(s) for s in statements(plain)]
    for step in hostile.steps:
        assert all(may_read(table, "acme", SOURCES) for table in tables_read(step))


def test_resolve_template_replaces_placeholders_in_every_nested_string(tmp_path: Path) -> None:
    path = tmp_path / "gcp" / "cost" / "example.yml"
    path.parent.mkdir(parents=True)
    path.write_text(EVERY_TYPE)
    variables = {"tenant_id": "acme", "provider": "gcp", "date": "2025-11-15", "count": "4"}
    resolved = resolve_template(path, variables)
    assert resolved["description"] == "Of acme"
    step = resolved["steps"][0]
    assert step["destination"]["partition"]["value"] == "2025-11-15"
    assert step["max_attempts"] == "4"
    assert step["sql"].endswith("FROM `acme.other` JOIN `acme.amount` USING (day) WHERE day = @date")
    assert step["checks"][0]["measure"] == "SUM(`amount`)"
    with pytest.raises(InvalidInput):
        resolve_template(path, {**variables, "nope": "1"})
    path.write_text("description: {nope}\nsteps: []")
    with pytest.raises(TemplateInvalid) as caught:
        resolve_template(path, variables)
    assert caught.value.metadata["problem"].startswith("gcp/cost/example.yml:1: ")


def test_resolve_template_takes_sources_as_variables() -> None:
    path = get_template_path("gcp", "cost", "bill-sample-export-template")
    variables = {"tenant_id": "acme", "date": "2025-11-15", "source.billing_export": "exports.billing"}
    assert "FROM `exports.billing` AS e" in resolve_template(path, variables)["steps"][0]["sql"]


@pytest.mark.parametrize("name", ["../../etc/passwd", "dryrun.yml", "", "Dryrun", "../example/dryrun"])
def test_a_template_path_is_looked_up_and_never_built_from_input(name: str) -> None:
    assert get_template_path("gcp", "example", "dryrun").endswith("configs/gcp/example/dryrun.yml")
    with pytest.raises(TemplateNotFound):
        get_template_path("gcp", "example", name)
