"""Generates a tenant's billing export: the same rows every time, in memory, a whole column at a time.

Every resource gives one row an hour. What Google bills apart from usage (tax, adjustments, rounding) comes on top, row by row. Costs are
FLOAT64 with six decimals, as in a real export.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from math import sin, tau
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from local_stack.billing_export import ARROW_SCHEMA
from local_stack.sample_catalog import GENERATED, INVOICE, Profile, Resource, resources

FIRST_DAY, LAST_DAY = date(2025, 9, 1), date(2025, 11, 30)
EXPORT_DELAY = timedelta(hours=4)
COST_DECIMALS = 6
MICROSECONDS = pa.timestamp("us", tz="UTC")
Values: TypeAlias = "pa.Array[Any]"
"""A column, or what becomes one."""


def generate(profile: Profile) -> pa.Table:
    """The whole export, ordered by time: at least 200,000 rows of the columns of `billing_export.COLUMNS`."""
    used = tuple(resources(profile))
    hours = _hours()
    resource_index = pa.array(list(range(len(used))) * len(hours), pa.int32())
    hour_index = pa.array(list(chain.from_iterable([hour] * len(used) for hour in range(len(hours)))), pa.int32())
    cost = _costs(profile, used, hours, resource_index, hour_index)
    columns: dict[str, Any] = {
        name: pa.array([resource.columns[name] for resource in used], ARROW_SCHEMA.field(name).type).take(
            resource_index
        )
        for name in used[0].columns
    }
    start = pa.array(hours, MICROSECONDS).take(hour_index)
    columns |= {
        "usage_start_time": start,
        "usage_end_time": pc.add(start, pa.scalar(timedelta(hours=1))),
        "export_time": pc.add(start, pa.scalar(timedelta(hours=1) + EXPORT_DELAY)),
        "invoice": pa.array(
            [{"month": _invoice_month(hour)} for hour in hours], ARROW_SCHEMA.field("invoice").type
        ).take(hour_index),
        "cost": cost,
        "usage": _usage(used, resource_index, cost),
        "credits": _credits(used, len(hours), cost),
    }
    constants = {
        "billing_account_id": profile.billing_account_id,
        "tags": [],
        "currency": "USD",
        "currency_conversion_rate": 1.0,
        "cost_type": "regular",
        "adjustment_info": None,
    }
    columns |= {
        name: pa.repeat(pa.scalar(value, ARROW_SCHEMA.field(name).type), len(cost)) for name, value in constants.items()
    }
    rows = pa.Table.from_arrays([columns[name] for name in ARROW_SCHEMA.names], schema=ARROW_SCHEMA)
    return pa.concat_tables([rows, pa.Table.from_pylist(_beside_usage(profile, constants), schema=ARROW_SCHEMA)])


def _hours() -> Sequence[datetime]:
    start = datetime.combine(FIRST_DAY, datetime.min.time(), UTC)
    return [start + timedelta(hours=hour) for hour in range(24 * ((LAST_DAY - FIRST_DAY).days + 1))]


def _invoice_month(moment: datetime) -> str:
    """The last hour of a month is invoiced with the next one: the invoice's month is not always the usage's."""
    return f"{moment + timedelta(hours=1):%Y%m}"


def _costs(
    profile: Profile,
    used: Sequence[Resource],
    hours: Sequence[datetime],
    resource_index: Values,
    hour_index: Values,
) -> Values:
    """Busy days, quiet nights and weekends, slow growth, and noise that the profile's seed fixes."""
    load = [
        (1 + 0.35 * sin((hour.hour - 9) / 24 * tau)) * (0.7 if hour.weekday() >= 5 else 1.0) * (1 + number / 20_000)
        for number, hour in enumerate(hours)
    ]
    base = pa.array([resource.hourly_cost for resource in used]).take(resource_index)
    noise = pc.add(0.75, pc.multiply(0.5, pc.random(len(resource_index), initializer=profile.seed)))
    return pc.round(pc.multiply(pc.multiply(base, pa.array(load).take(hour_index)), noise), COST_DECIMALS)


def _usage(used: Sequence[Resource], resource_index: Values, cost: Values) -> Values:
    skus = [resource.sku for resource in used]
    priced = pc.divide(cost, pa.array([sku.price for sku in skus]).take(resource_index))
    units = pa.array([sku.unit.per_pricing_unit for sku in skus]).take(resource_index)
    return pa.StructArray.from_arrays(
        [
            pc.multiply(priced, units),
            pa.array([sku.unit.name for sku in skus]).take(resource_index),
            priced,
            pa.array([sku.unit.pricing for sku in skus]).take(resource_index),
        ],
        names=["amount", "unit", "amount_in_pricing_units", "pricing_unit"],
    )


def _credits(used: Sequence[Resource], hours: int, cost: Values) -> Values:
    """One list a row: the credits of its resource, each a share of the row's cost."""
    per_hour = [(place, credit) for place, resource in enumerate(used) for credit in resource.refunds]
    rows = pa.array([hour * len(used) + place for hour in range(hours) for place, _ in per_hour], pa.int32())
    which = pa.array(list(range(len(per_hour))) * hours, pa.int32())
    names = pa.array([name for _, (name, _, _) in per_hour]).take(which)
    shares = pa.array([-share for _, (_, _, share) in per_hour]).take(which)
    ends = [0]
    for resource in used:
        ends.append(ends[-1] + len(resource.refunds))
    offsets = [hour * len(per_hour) + end for hour in range(hours) for end in ends[:-1]]
    entries = pa.StructArray.from_arrays(
        [
            names,
            pc.round(pc.multiply(cost.take(rows), shares), COST_DECIMALS),
            names,
            pa.array([name.lower().replace(" ", "-") for _, (name, _, _) in per_hour]).take(which),
            pa.array([kind for _, (_, kind, _) in per_hour]).take(which),
        ],
        names=["name", "amount", "full_name", "id", "type"],
    )
    return pa.ListArray.from_arrays(pa.array([*offsets, len(rows)], pa.int32()), entries)


def _beside_usage(profile: Profile, constants: dict[str, Any]) -> list[dict[str, Any]]:
    """Tax every day, an adjustment on the 5th and the 15th, rounding at a month's end. None of them belongs to a project."""
    rows = []
    for hour in _hours():
        if hour.hour != 23:
            continue
        rows.append(_charge(constants, hour, "Tax", "tax", round(1.7 * profile.scale + hour.day / 100, 2)))
        if hour.day in (5, 15):
            rows.append(_charge(constants, hour, "Goodwill adjustment", "adjustment", round(-3.25 * profile.scale, 2)))
        if (hour + timedelta(hours=1)).day == 1:
            rows.append(_charge(constants, hour, "Rounding error", "rounding_error", 0.004321))
    return rows


def _charge(constants: dict[str, Any], hour: datetime, what: str, cost_type: str, cost: float) -> dict[str, Any]:
    service_id, service = INVOICE
    adjustment = {"id": "generated", "description": what, "mode": "COMPLETE_NEGATION", "type": "GENERAL_ADJUSTMENT"}
    return constants | {
        "service": {"id": service_id, "description": service},
        "sku": {"id": f"0000-0000-{cost_type[:4].upper()}", "description": what},
        "usage_start_time": hour,
        "usage_end_time": hour + timedelta(hours=1),
        "export_time": hour + timedelta(hours=1) + EXPORT_DELAY,
        "labels": [],
        "system_labels": [GENERATED],
        "location": None,
        "cost": cost,
        "usage": None,
        "credits": [],
        "invoice": {"month": _invoice_month(hour)},
        "cost_type": cost_type,
        "adjustment_info": adjustment if cost_type == "adjustment" else None,
    }
