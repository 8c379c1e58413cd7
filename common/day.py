"""Days as callers write them: `YYYY-MM-DD` and nothing else."""

import re
from datetime import date

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


def parse_day(text: str) -> date:
    """The day that a text names. ValueError, with a sentence for the caller, for anything but a day that exists."""
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError("must be a day that exists, YYYY-MM-DD")
