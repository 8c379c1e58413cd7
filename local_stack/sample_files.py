"""The files that templates can load as soon as the stack is up: INVENTED exchange rates, for `gcp/example/exchange-rates`."""

from datetime import date, timedelta
from pathlib import Path

from local_stack.state import write_private

_FIRST_DAY, _DAYS = date(2025, 11, 1), 30
_CENTS = {"CHF": 124, "EUR": 116, "GBP": 131, "JPY": 1}
RATES = "exchange-rates.csv"


def write_sample_files(folder: Path) -> None:
    """Put them into a folder, whole, where they are not there yet. Raises OSError."""
    path = folder / RATES
    if not path.exists():
        write_private(path, _rates())


def _rates() -> str:
    lines = ["day,currency,usd"]
    for number in range(_DAYS):
        day = _FIRST_DAY + timedelta(days=number)
        lines += [f"{day},{currency},{cents / 100 + number / 10_000:.4f}" for currency, cents in _CENTS.items()]
    return "\n".join(lines) + "\n"
