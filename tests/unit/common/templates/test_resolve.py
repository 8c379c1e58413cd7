"""Resolving: what a request may say, and what it is told."""

from datetime import date
from decimal import Decimal

import pytest

from common.errors import InvalidInput, SourceNotGranted, TableNotAllowed, Violation
from common.templates.catalog import Catalog
from common.templates.load import load_template
from common.templates.order import tables_read
from common.templates.resolve import resolve
from common.templates.tables import check_tables, may_read
from common.templates.template import Template, TemplateName
from common.warehouse.warehouse import TableRef
from tests.unit.common.templates.conftest import Load
from tests.unit.common.templates.every_type import EVERY_TYPE, SOURCES, TODAY, run, statements


@pytest.fixture(scope="module")
def every_type() -> Template:
    return load_template(EVERY_TYPE.encode(), TemplateName("gcp", "cost", "example"))


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
    template = shipped.get(TemplateName("gcp", "cost", "bill-sample-export-template"))
    with pytest.raises(SourceNotGranted) as caught:
        resolve(template, tenant_id="acme", sources={}, date="2025-11-15", parameters={}, today=TODAY)
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
    resolve(template, tenant_id="techcorp", sources={}, date="", parameters={}, today=TODAY)


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
