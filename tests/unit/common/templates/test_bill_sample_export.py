"""The billing template, executed: what it publishes and what its checks find."""

import json
from collections import defaultdict
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest

from common.templates.catalog import Catalog
from common.templates.resolve import resolve
from common.templates.resolved import ResolvedQuery, ResolvedTemplate
from common.templates.template import TemplateName
from common.warehouse.warehouse import Statement, TableRef
from tests.real_export import DAYS, real_rows
from tests.unit.common.templates.duck import Duck

DAY = date(2025, 11, 15)
KEY = ("project_id", "service_id", "sku_id", "cost_type", "currency", "usage_unit", "invoice_month")
SUMS = ("cost", "credits", "usage_amount", "line_items")


def resolved(shipped: Catalog, day: date = DAY) -> ResolvedTemplate:
    template = shipped.get(TemplateName("gcp", "cost", "bill-sample-export-template"))
    sources = {"billing_export": TableRef("exports", "billing")}
    return resolve(template, tenant_id="acme", sources=sources, date=day.isoformat(), parameters={}, today=day)


def query_of(template: ResolvedTemplate) -> ResolvedQuery:
    query = template.steps[0].query
    assert query is not None
    return query


def published(duck: Duck, template: ResolvedTemplate) -> list[dict[str, Any]]:
    """Stage the day; its rows in the order of their key."""
    duck.stage("staged", query_of(template).select.statement)
    rows = duck.read(Statement("SELECT * FROM acme.staged"))
    return sorted(rows, key=lambda row: [str(row[name]) for name in KEY])


def verdicts(duck: Duck, template: ResolvedTemplate) -> dict[str, bool]:
    """Every check of both steps, on the staged rows."""
    checks = [check for step in template.steps for check in step.checks]
    return {check.name: duck.measure(check, "staged")["passed"] for check in checks}


def line(**changes: Any) -> dict[str, Any]:
    """A row of an export."""
    row: dict[str, Any] = {
        "service": {"id": "S", "description": "Compute"},
        "sku": {"id": "K", "description": "Core"},
        "project": {"id": "p1", "name": "one"},
        "usage_start_time": datetime(2025, 11, 15, 23, 59, 59, tzinfo=UTC),
        "cost": 0.1,
        "currency": "USD",
        "usage": {"amount": 2.0, "unit": "seconds"},
        "invoice": {"month": "202511"},
        "cost_type": "regular",
        "credits": [],
        "labels": [],
    }
    return row | changes


def numeric(value: float) -> Decimal:
    """A FLOAT64 as CAST(... AS NUMERIC) rounds it."""
    return Decimal(value).quantize(Decimal("1e-9"), ROUND_HALF_UP)


@pytest.mark.parametrize("day", DAYS)
def test_each_day_of_a_real_export_has_its_rows_cost_and_credits_to_the_last_digit(
    shipped: Catalog, duck: Duck, day: date
) -> None:
    lines = real_rows()
    duck.load_export(lines)
    expected: dict[tuple[Any, ...], dict[str, Decimal]] = defaultdict(lambda: dict.fromkeys(SUMS, Decimal(0)))
    for row in lines:
        if row["usage_start_time"].date() == day:
            project = row["project"]["id"] if row["project"] else None
            key = (project, row["service"]["id"], row["sku"]["id"], row["cost_type"], row["currency"])
            sums = expected[(*key, row["usage"]["unit"], row["invoice"]["month"])]
            sums["cost"] += numeric(row["cost"])
            sums["credits"] += sum((numeric(credit["amount"]) for credit in row["credits"]), Decimal(0))
            sums["usage_amount"] += numeric(row["usage"]["amount"])
            sums["line_items"] += 1

    template = resolved(shipped, day)
    rows = published(duck, template)

    found = {tuple(row[name] for name in KEY): {name: row[name] for name in SUMS} for row in rows}
    assert found == expected
    assert len(rows) == len(found)
    assert {row["usage_date"] for row in rows} == {day}
    assert all(row["net_cost"] == row["cost"] + row["credits"] for row in rows)
    assert all(verdicts(duck, template).values())


def test_amounts_are_cast_row_by_row_before_they_are_summed(shipped: Catalog, duck: Duck) -> None:
    duck.load_export([line(cost=0.1), line(cost=0.2), line(cost=0.0000000014)] * 10)
    (row,) = published(duck, resolved(shipped))
    assert row["cost"] == Decimal("3.00000001")


def test_each_grouping_column_keeps_rows_apart_and_nulls_together(shipped: Catalog, duck: Duck) -> None:
    tax = {"project": None, "cost_type": "tax", "usage": None}
    duck.load_export(
        [
            line(),
            line(project={"id": "p2"}),
            line(sku={"id": "K2"}),
            line(service={"id": "S2"}),
            line(cost_type="adjustment"),
            line(currency="EUR"),
            line(usage={"amount": 1.0, "unit": "bytes"}),
            line(invoice={"month": "202512"}),
            line(**tax, cost=1.0),
            line(**tax, cost=2.0),
        ]
    )
    rows = published(duck, resolved(shipped))
    assert len(rows) == 9
    (taxed,) = [row for row in rows if row["cost_type"] == "tax"]
    assert (taxed["project_id"], taxed["usage_unit"], taxed["cost"], taxed["line_items"]) == (None, None, 3, 2)


def test_credits_of_a_row_are_summed_and_a_row_without_any_counts_as_zero(shipped: Catalog, duck: Duck) -> None:
    both = [{"name": "promotion", "amount": -0.03}, {"name": "commitment", "amount": -0.01}]
    duck.load_export([line(credits=both), line(), line(credits=None)])
    (row,) = published(duck, resolved(shipped))
    assert (row["cost"], row["credits"], row["net_cost"]) == (Decimal("0.3"), Decimal("-0.04"), Decimal("0.26"))


def test_label_sets_are_distinct_json_in_an_order_that_never_changes(shipped: Catalog, duck: Duck) -> None:
    first = [{"key": "team", "value": 'a "b" \\ é'}, {"key": "env", "value": "prod"}]
    duck.load_export([line(labels=first), line(labels=first[::-1]), line(labels=[]), line(labels=None)])
    (row,) = published(duck, resolved(shipped))
    assert json.loads(row["label_sets"]) == [{"env": "prod", "team": 'a "b" \\ é'}, {}]


def test_only_the_day_asked_for_is_read_by_utc(shipped: Catalog, duck: Duck) -> None:
    before = line(usage_start_time=datetime(2025, 11, 14, 23, 59, 59, tzinfo=UTC))
    after = line(usage_start_time=datetime(2025, 11, 16, tzinfo=UTC))
    duck.load_export([before, line(cost=7.0), after])
    (row,) = published(duck, resolved(shipped))
    assert row["cost"] == 7


def test_a_day_without_usage_is_empty_and_only_warned_of(shipped: Catalog, duck: Duck) -> None:
    duck.load_export([])
    template = resolved(shipped)
    assert published(duck, template) == []
    failed = [name for name, passed in verdicts(duck, template).items() if not passed]
    assert failed == ["row_count"]
    assert {c.severity for step in template.steps for c in step.checks if c.name == "row_count"} == {"warn"}


@pytest.mark.parametrize(
    ("column", "check"),
    [
        ("service_id", "not_null_service_id"),
        ("currency", "not_null_currency"),
        ("invoice_month", "not_null_invoice_month"),
    ],
)
def test_a_row_without_service_currency_or_invoice_month_is_found(
    shipped: Catalog, duck: Duck, column: str, check: str
) -> None:
    missing = {"service_id": {"service": None}, "currency": {"currency": None}, "invoice_month": {"invoice": None}}
    duck.load_export([line(), line(**missing[column])])
    template = resolved(shipped)
    published(duck, template)
    assert [name for name, passed in verdicts(duck, template).items() if not passed] == [check]
    (found,) = [c for c in template.steps[0].checks if c.name == check]
    measured = duck.measure(found, "staged")
    assert (measured["failing_rows"], len(measured["sample"])) == (1, 1)


def test_two_rows_of_one_key_are_found_even_where_the_key_holds_null(shipped: Catalog, duck: Duck) -> None:
    duck.load_export([line(project=None)])
    template = resolved(shipped)
    select = query_of(template).select.statement
    duck.stage("staged", Statement(f"SELECT * FROM ({select.sql}) UNION ALL ({select.sql})", select.parameters))
    (unique,) = [check for check in template.steps[0].checks if check.type == "unique"]
    measured = duck.measure(unique, "staged")
    assert (measured["passed"], measured["failing_rows"]) == (False, 2)
    assert measured["sample"][0]["copies"] == 2


def test_rows_that_do_not_add_up_to_the_source_are_found(shipped: Catalog, duck: Duck) -> None:
    duck.load_export([line(credits=[{"amount": -0.05}])])
    template = resolved(shipped)
    published(duck, template)
    duck.load_export([line(cost=0.100000001, credits=[{"amount": -0.04}]), line(cost=0.0)])
    failed = [name for name, passed in verdicts(duck, template).items() if not passed]
    assert failed == ["reconcile_line_items", "reconcile_cost", "reconcile_credits", "reconcile_net_cost"]
    (cost,) = [check for check in template.steps[0].checks if check.name == "reconcile_cost"]
    measured = duck.measure(cost, "staged")
    assert (measured["observed"], measured["expected"], measured["sample"]) == ("0.1", "0.100000001", None)


def test_what_is_published_is_partitioned_by_day_and_clustered(shipped: Catalog) -> None:
    query = query_of(resolved(shipped))
    assert query.destination.table == TableRef("acme", "cost_daily")
    assert (query.destination.partition_column, query.destination.partition) == ("usage_date", DAY)
    assert (query.write, query.clustering) == ("replace_partition", ("service_id", "project_id"))
