"""What bytes cost: exact decimals."""

from decimal import Decimal

import pytest

from common.warehouse.estimate import MINIMUM_BILLED_BYTES
from pipeline_service.price import Price


@pytest.mark.parametrize(
    ("per_tib", "billed", "cost"),
    [
        ("6.25", 2**40, "6.25"),
        ("6.25", 0, "0"),
        ("6.25", MINIMUM_BILLED_BYTES, "0.000059605"),  # 0.00005960464...
        ("6.25", 80 * 2**40 + 1, "500"),
        ("7.5", 2**40 // 3, "2.5"),
        ("0", 2**50, "0"),
        ("1000", 2**62, "4194304000"),
    ],
)
def test_a_cost_has_nine_digits_after_the_point_rounded(per_tib: str, billed: int, cost: str) -> None:
    found = Price(Decimal(per_tib)).of(billed)
    assert found == Decimal(cost)
    assert found.as_tuple().exponent == -9
