"""Decimal numbers as text."""

from decimal import Decimal

import pytest

from common.decimal_text import decimal_text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("1.123456789", "1.123456789"),
        ("2.500000000", "2.5"),
        ("100", "100"),
        ("100.00", "100"),
        ("1E+3", "1000"),
        ("1E-9", "0.000000001"),
        ("0.00", "0"),
        ("-0.10", "-0.1"),
    ],
)
def test_a_number_has_no_exponent_and_no_padding(number: str, text: str) -> None:
    assert decimal_text(Decimal(number)) == text
