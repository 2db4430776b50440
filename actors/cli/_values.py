"""What is typed on a command line, as values. What is wrong is said with what was expected."""

import argparse
import math
from decimal import Decimal, InvalidOperation
from typing import Any


def decimal(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"expected a decimal number, got {text!r}") from None
    if not value.is_finite():
        raise argparse.ArgumentTypeError(f"expected a finite number, got {text!r}")
    return value


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"expected seconds above 0, got {text!r}")
    return value


def limit(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to 1000, got {text!r}")
    return int(text)


def pair(text: str) -> tuple[str, str]:
    """`KEY=VALUE`."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE, got {text!r}")
    return name, value


def trail(text: str) -> dict[str, Any]:
    """`25` is a distance in price, `2%` a part of the best price."""
    share = text.endswith("%")
    return {"percent" if share else "distance": decimal(text.removesuffix("%"))}
