"""Conditions on days: both ends included, whatever type the column has."""

from datetime import date

from common.warehouse.columns import Column
from common.warehouse.warehouse import TableSpec
from pipeline_service.days import days_between

DAYS = TableSpec((Column("day", "DATE"),), "day")
MOMENTS = TableSpec((Column("day", "TIMESTAMP"),), "day")
FIRST, LAST = date(2025, 11, 15), date(2025, 12, 31)


def test_a_date_column_is_compared_with_dates() -> None:
    assert days_between(DAYS, "day", FIRST, LAST) == "`day` >= DATE '2025-11-15' AND `day` < DATE '2026-01-01'"


def test_a_timestamp_column_is_compared_with_midnights_in_utc() -> None:
    assert days_between(MOMENTS, "day", None, FIRST) == "`day` < TIMESTAMP '2025-11-16 00:00:00+00'"


def test_ends_are_optional_and_the_last_day_of_all_needs_none() -> None:
    assert days_between(DAYS, "day", None, None) == "TRUE"
    assert days_between(DAYS, "day", FIRST, date.max) == "`day` >= DATE '2025-11-15'"
