"""The generated exports."""

from typing import Any

import duckdb
import pyarrow as pa
import pytest

from local_stack.sample_catalog import PROFILES, Profile
from local_stack.sample_export import generate

TABLES = {profile.tenant_id: generate(profile) for profile in PROFILES}
each = pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)


def ask(table: pa.Table, select: str) -> list[Any]:
    """The rows of a SELECT from `export`, as DuckDB reads it; single columns come without their tuple."""
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        database.register("export", table)
        rows = database.sql(select).fetchall()
    return [row[0] if len(row) == 1 else row for row in rows]


@each
def test_export_has_200_000_rows_over_three_whole_months(table: pa.Table) -> None:
    table.validate(full=True)
    assert table.num_rows >= 200_000
    assert ask(table, "SELECT min(usage_start_time)::VARCHAR, max(usage_start_time)::VARCHAR FROM export") == [
        ("2025-09-01 00:00:00+00", "2025-11-30 23:00:00+00")
    ]
    assert ask(table, "SELECT count(DISTINCT usage_start_time::DATE) FROM export") == [91]


@each
def test_every_row_is_labelled_as_generated(table: pa.Table) -> None:
    generated = "list_contains(system_labels, {'key': 'generated', 'value': 'true'})"
    assert ask(table, f"SELECT count(*) FROM export WHERE {generated}") == [table.num_rows]


@each
def test_all_kinds_of_rows_and_credits_are_there_on_the_demo_s_day(table: pa.Table) -> None:
    day = "FROM export WHERE usage_start_time::DATE = '2025-11-15'"
    kinds = set(ask(table, f"SELECT DISTINCT cost_type {day}"))
    assert kinds == {"regular", "tax", "adjustment"}
    assert set(ask(table, "SELECT DISTINCT cost_type FROM export")) == kinds | {"rounding_error"}
    types = ask(table, f"SELECT DISTINCT unnest(credits).type {day}")
    assert set(types) == {"PROMOTION", "COMMITTED_USAGE_DISCOUNT"}
    assert ask(table, f"SELECT project IS NULL {day} AND cost_type = 'tax'") == [True]


@each
def test_labels_and_ancestors_are_nested_and_some_rows_have_no_label(table: pa.Table) -> None:
    assert ask(table, "SELECT DISTINCT len(project.ancestors) FROM export WHERE project IS NOT NULL") == [3]
    assert set(ask(table, "SELECT DISTINCT len(labels) FROM export")) == {0, 2}
    assert ask(table, "SELECT DISTINCT len(project.labels) FROM export WHERE project IS NOT NULL") == [2]


@each
def test_credits_are_negative_and_never_exceed_their_row_s_cost(table: pa.Table) -> None:
    select = "SELECT max(list_aggregate([c.amount FOR c IN credits], 'max')), min(cost + list_sum([c.amount FOR c IN credits])) FROM export"
    largest, least_net = ask(table, select)[0]
    assert largest <= 0
    assert least_net > -2e-6  # each credit is rounded on its own


@each
def test_the_last_hour_of_a_month_is_invoiced_with_the_next(table: pa.Table) -> None:
    select = "SELECT DISTINCT usage_start_time::VARCHAR FROM export WHERE strftime(usage_start_time, '%Y%m') <> invoice.month ORDER BY 1"
    assert ask(table, select) == [f"2025-{day} 23:00:00+00" for day in ("09-30", "10-31", "11-30")]


@each
def test_what_must_not_be_null_for_the_cost_template_is_not(table: pa.Table) -> None:
    missing = (
        "usage_start_time IS NULL OR service.id IS NULL OR currency IS NULL OR invoice.month IS NULL OR cost IS NULL"
    )
    assert ask(table, f"SELECT count(*) FROM export WHERE {missing}") == [0]


def test_totals_differ_between_tenants_by_far() -> None:
    one, other = (ask(table, "SELECT sum(cost) FROM export")[0] for table in TABLES.values())
    assert abs(one - other) > 10_000


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.tenant_id)
def test_generation_is_deterministic(profile: Profile) -> None:
    assert generate(profile).equals(TABLES[profile.tenant_id])
