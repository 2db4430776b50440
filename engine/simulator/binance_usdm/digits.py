"""Exact numbers as integers of a symbol's smallest units, and how they look on the wire."""

from decimal import Decimal

__all__ = ["decimals_of", "fixed", "units"]


def decimals_of(step: Decimal) -> int:
    """How many decimals the written form of a step has: 2 for 0.10."""
    exponent = step.as_tuple().exponent
    assert isinstance(exponent, int), "a step is a finite number"
    return max(0, -exponent)


def units(value: Decimal, decimals: int) -> int:
    """A number in units of 10**-decimals; it must be a whole count of them."""
    return int(value.scaleb(decimals))


def fixed(count: int, decimals: int) -> str:
    """`count` units of 10**-decimals, written with all its decimals: (1250, 2) is "12.50"."""
    if not decimals:
        return str(count)
    if count < 0:
        return "-" + fixed(-count, decimals)
    text = str(count)
    if len(text) <= decimals:
        text = text.zfill(decimals + 1)
    return f"{text[:-decimals]}.{text[-decimals:]}"
