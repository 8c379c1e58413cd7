"""What checks count, against a count in Python, for values of every kind."""

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from common.templates.check_specs import AcceptedValues, Check, Expression, Range
from common.templates.checks import compile_check
from common.templates.resolved import ResolvedCheck, ResolvedStatement
from common.templates.tables import analyse
from common.warehouse.columns import ColumnType
from common.warehouse.warehouse import Parameter, Statement, Value
from tests.unit.common.templates.duck import Duck

NUMERICS = st.decimals(Decimal("-1e12"), Decimal("1e12"), places=9)
QUICK = settings(
    deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(scope="module")
def shared() -> Iterator[Duck]:
    duck = Duck()
    yield duck
    duck.close()


def compiled(check: Check) -> ResolvedCheck:
    def statement(sql: str, own: Sequence[Parameter] = ()) -> ResolvedStatement:
        named = analyse(sql, of_check=True).parameters
        return ResolvedStatement(Statement(sql, tuple(parameter for parameter in own if parameter.name in named)), ())

    return compile_check(check, statement, tenant_id="acme")


def counted(duck: Duck, check: Check, kind: ColumnType, values: Sequence[Value]) -> int:
    """How many of these values break the check. Its sample holds as many of them, but at most twenty, and only such."""
    rows = Parameter("values", kind, list(values), array=True)
    duck.stage("staged", Statement("SELECT v FROM UNNEST(@values) AS v", (rows,)))
    measured = duck.measure(compiled(check), "staged")
    assert measured["passed"] == (measured["failing_rows"] == 0)
    assert len(measured["sample"]) == min(20, measured["failing_rows"])
    return int(measured["failing_rows"])


@QUICK
@given(values=st.lists(st.one_of(st.none(), NUMERICS), max_size=30), bounds=st.tuples(st.none() | NUMERICS, NUMERICS))
def test_a_decimal_outside_its_range_is_counted(
    shared: Duck, values: list[Decimal | None], bounds: tuple[Decimal | None, Decimal]
) -> None:
    least, most = bounds
    check = Range.model_validate({"type": "range", "column": "v", "min": least, "max": most})
    outside = [v for v in values if v is not None and not ((least is None or least <= v) and v <= most)]
    assert counted(shared, check, "NUMERIC", values) == len(outside)


@QUICK
@example(values=[math.nan, math.inf, -math.inf, -0.0, 0.1], least=-1, most=None)
@given(
    values=st.lists(st.none() | st.floats(), max_size=30),
    least=st.none() | st.integers(-(2**63), 2**63 - 1),
    most=st.none() | st.integers(-(2**63), 2**63 - 1),
)
def test_a_float_outside_its_range_is_counted_and_nan_always(
    shared: Duck, values: list[float | None], least: int | None, most: int | None
) -> None:
    if least is None and most is None:
        least = 0
    check = Range.model_validate({"type": "range", "column": "v", "min": least, "max": most})

    def inside(value: float) -> bool:
        return (least is None or value >= float(least)) and (most is None or value <= float(most))

    outside = [v for v in values if v is not None and not (inside(v) and not math.isnan(v))]
    assert counted(shared, check, "FLOAT64", values) == len(outside)


@QUICK
@given(
    values=st.lists(st.none() | st.dates(date(1, 1, 2), date(9999, 12, 30)), max_size=30),
    least=st.dates(),
    days=st.integers(0, 1000),
)
def test_a_day_outside_its_range_is_counted(shared: Duck, values: list[date | None], least: date, days: int) -> None:
    most = min(least, date(9996, 1, 1)) + timedelta(days=days)
    check = Range.model_validate({"type": "range", "column": "v", "min": least.isoformat(), "max": most})
    outside = [v for v in values if v is not None and not least <= v <= most]
    assert counted(shared, check, "DATE", values) == len(outside)


@QUICK
@given(
    values=st.lists(st.none() | st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)), max_size=30),  # noqa: DTZ001
    most=st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)),  # noqa: DTZ001
    zone=st.none() | st.timezones(),
)
def test_a_time_beyond_its_bound_is_counted_in_utc(
    shared: Duck, values: list[datetime | None], most: datetime, zone: ZoneInfo | None
) -> None:
    most = most.replace(tzinfo=zone)
    check = Range.model_validate({"type": "range", "column": "v", "max": most.isoformat()})
    bound = most.astimezone(UTC) if most.tzinfo else most.replace(tzinfo=UTC)
    outside = [v for v in values if v is not None and v.replace(tzinfo=UTC) > bound]
    assert counted(shared, check, "DATETIME", values) == len(outside)


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@QUICK
@given(
    values=st.lists(st.none() | TEXTS, max_size=30), accepted=st.lists(TEXTS, min_size=1, max_size=10), more=st.data()
)
def test_a_text_that_is_none_of_those_accepted_is_counted(
    shared: Duck, values: list[str | None], accepted: list[str], more: st.DataObject
) -> None:
    values = values + more.draw(st.lists(st.sampled_from(accepted)))
    check = AcceptedValues.model_validate({"type": "accepted_values", "column": "v", "values": accepted})
    outside = [v for v in values if v is not None and v not in accepted]
    assert counted(shared, check, "STRING", values) == len(outside)


@pytest.mark.parametrize(
    ("kind", "values", "accepted"),
    [
        ("INT64", [1, 2, -(2**63), 2**63 - 1, None], [1, 2**63 - 1]),
        ("NUMERIC", [Decimal("0.1"), Decimal("0.100000001"), Decimal("-9" + "9" * 28), None], [Decimal("0.1"), Decimal("-9" + "9" * 28)]),
        ("FLOAT64", [0.1, 0.25, math.nan, math.inf, None], [0.1, 0.25]),
        ("BOOL", [True, False, None], [True]),
        ("DATE", [date(2025, 11, 15), date(1, 1, 1), None], [date(2025, 11, 15)]),
    ],
)  # fmt: skip
def test_a_value_of_another_kind_that_is_none_of_those_accepted_is_counted(
    shared: Duck, kind: ColumnType, values: list[Value], accepted: list[Any]
) -> None:
    check = AcceptedValues.model_validate({"type": "accepted_values", "column": "v", "values": accepted})
    assert counted(shared, check, kind, values) == len([v for v in values if v is not None and v not in accepted])


@pytest.mark.parametrize(
    ("condition", "failing"),
    [("v > 1", 2), ("v IS NULL OR v > 1", 1), ("v > 1 -- no more", 2), ("checked.v > 1", 2), ("TRUE", 0), ("NULL", 3), ("(v) IN (1)", 2)],
)  # fmt: skip
def test_a_row_for_which_a_condition_is_not_true_is_counted(shared: Duck, condition: str, failing: int) -> None:
    check = Expression.model_validate({"type": "expression", "sql": condition})
    assert counted(shared, check, "INT64", [1, 2, None]) == failing


def test_a_long_list_of_accepted_values_is_shortened_where_it_is_shown(shared: Duck) -> None:
    accepted = [f"value {number}" for number in range(1000)]
    check = AcceptedValues.model_validate({"type": "accepted_values", "column": "v", "values": accepted})
    assert counted(shared, check, "STRING", ["value 999", "value 1000"]) == 1
    shown = shared.measure(compiled(check), "staged")["expected"]
    assert shown.startswith("one of value 0, value 1, ")
    assert len(shown) < 220
