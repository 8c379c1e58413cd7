"""The real billing export in the folder that CONVERGENCE_TEST_DATA names: 25 rows of four days in November 2020, see SOURCES.md there."""

import ast
import csv
import io
import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from common.warehouse.columns import Column
from local_stack.billing_export import COLUMNS

DAYS = tuple(date(2020, 11, day) for day in (8, 9, 10, 11))


@dataclass
class Totals:
    """What a day of the file adds up to, as its text has it."""

    line_items: int = 0
    cost: Decimal = Decimal(0)
    credits: Decimal = Decimal(0)


def real_rows() -> list[dict[str, Any]]:
    """Its rows, nested as in BigQuery. Skips the test where the data is absent."""
    return [{column.name: _value(row, column.name, column) for column in COLUMNS} for row in _flat_rows()]


def real_totals() -> Mapping[date, Totals]:
    """The totals of each day of usage in UTC. Skips the test where the data is absent."""
    totals: defaultdict[date, Totals] = defaultdict(Totals)
    for row in _flat_rows():
        day = totals[datetime.fromisoformat(row["usage_start_time"]).date()]
        day.line_items += 1
        day.cost += Decimal(row["cost"])
        day.credits += sum((Decimal(repr(credit["amount"])) for credit in ast.literal_eval(row["credits"])), Decimal(0))
    return totals


def real_file() -> bytes:
    """The file itself. Skips the test where the data is absent."""
    folder = os.environ.get("CONVERGENCE_TEST_DATA")
    path = Path(folder) / "gcp" / "gcp_standard_export_2020-11.csv" if folder else None
    if path is None or not path.is_file():
        pytest.skip("needs the real export: set CONVERGENCE_TEST_DATA to the folder that holds gcp/")
    return path.read_bytes()


def _flat_rows() -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(real_file().decode(), newline="")))


def _value(flat: dict[str, str], name: str, column: Column) -> Any:
    """The file is flat: `service.id` stands for `service{id}`, and repeated records are Python literals."""
    text = flat.get(name)
    if column.mode == "REPEATED":
        return ast.literal_eval(text) if text else []
    if column.type == "RECORD":
        nested = {field.name: _value(flat, f"{name}.{field.name}", field) for field in column.fields}
        return nested if any(value not in (None, []) for value in nested.values()) else None
    if not text:
        return None
    if column.type == "TIMESTAMP":
        return datetime.fromisoformat(text)
    return float(text) if column.type == "FLOAT64" else text
