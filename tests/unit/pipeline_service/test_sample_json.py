"""Failing rows as JSON: whatever they hold, it parses and is not too long."""

import json
import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from common.warehouse.warehouse import Row
from pipeline_service.sample_json import MAX_CHARACTERS, MAX_TEXT, sample_json

TEXTS = st.text(max_size=20)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.decimals(), TEXTS, st.binary(), st.datetimes()
)  # fmt: skip
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=5)


def read(text: str | None) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse) if text else []


@given(st.lists(st.dictionaries(TEXTS, VALUES), max_size=3), st.integers(1, 400))
@settings(max_examples=60)
@example([{"text": "x" * MAX_TEXT}], 400)
def test_a_sample_of_anything_is_json_within_its_size(row_set: list[dict[str, Any]], times: int) -> None:
    rows = row_set * times
    text = sample_json(rows)
    assert [set(row) for row in read(text)] == [set(row) for row in rows][: len(read(text))]
    assert len(text or "") <= MAX_CHARACTERS + 2


def test_what_json_has_not_becomes_text() -> None:
    row: Row = {
        "nan": math.nan,
        "infinite": [-math.inf],
        "sum": Decimal("0.10"),
        "day": date(2025, 11, 15),
        "time": datetime(2025, 11, 15, 1, 2, 3, tzinfo=UTC),
        "raw": b"\x00\xff",
        "nested": {"quote": 'it\'s "quoted"', "none": None},
    }
    assert read(sample_json([row])) == [
        {
            "nan": "nan",
            "infinite": ["-inf"],
            "sum": "0.10",
            "day": "2025-11-15",
            "time": "2025-11-15 01:02:03+00:00",
            "raw": "AP8=",
            "nested": {"quote": 'it\'s "quoted"', "none": None},
        }
    ]


def test_a_long_text_is_cut_and_rows_that_do_not_fit_are_left_out() -> None:
    (row,) = read(sample_json([{"text": "x" * 5000, "raw": b"x" * 5000}]))
    assert (row["text"], len(row["raw"])) == ("x" * MAX_TEXT + "...", MAX_TEXT + 3)
    wide = {f"column_{number}": "x" * MAX_TEXT for number in range(20)}
    assert len(read(sample_json([wide] * 20))) == 2
    assert sample_json([{f"column_{number}": "x" * MAX_TEXT for number in range(100)}]) is None


def test_no_rows_are_no_sample() -> None:
    assert sample_json([]) is None
