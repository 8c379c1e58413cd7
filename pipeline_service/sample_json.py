"""Failing rows as JSON for `dq_results`, in a size that fits a statement whatever the rows are."""

import base64
import json
import math
from collections.abc import Mapping, Sequence

from common.warehouse.warehouse import Row

MAX_CHARACTERS = 60_000
"""Of a sample, so that the hundred checks of a step fit into one request to BigQuery, which takes 10 MB."""
MAX_TEXT = 1000
"""Characters of one text, behind which it is cut off."""


def sample_json(rows: Sequence[Row]) -> str | None:
    """The rows as a JSON array, as many as fit; None for none. What JSON does not know becomes text: NUMERIC, days, NaN, infinity."""
    texts: list[str] = []
    room = MAX_CHARACTERS
    for row in rows:
        text = json.dumps(_plain(row), allow_nan=False)
        room -= len(text) + 2
        if room < 0:
            break
        texts.append(text)
    return f"[{', '.join(texts)}]" if texts else None


def _plain(value: object) -> object:
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case bytes():
            return _cut(base64.b64encode(value).decode())
        case Mapping():
            return {name: _plain(item) for name, item in value.items()}
        case Sequence() if not isinstance(value, str):
            return [_plain(item) for item in value]
        case _:
            return _cut(str(value))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}..."
