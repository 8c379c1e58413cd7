"""Decimal numbers as text."""

from decimal import Decimal


def decimal_text(number: Decimal) -> str:
    """A number without exponent and without zeros at the end of its fraction."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
