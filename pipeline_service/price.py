"""What bytes cost. BigQuery's on-demand price: https://cloud.google.com/bigquery/pricing#analysis_pricing_models"""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

_TIB = Decimal(2**40)
_DIGITS = Decimal("1E-9")
"""As many after the point as NUMERIC has."""


@dataclass(frozen=True, slots=True)
class Price:
    """USD for a TiB that is billed."""

    per_tib_usd: Decimal

    def of(self, bytes_billed: int) -> Decimal:
        """What so many bytes cost in USD, to nine digits after the point."""
        return (bytes_billed * self.per_tib_usd / _TIB).quantize(_DIGITS, ROUND_HALF_UP)
