"""Figures of a venue, checked by the model's own rules."""

from collections.abc import Callable
from decimal import Decimal
from typing import ParamSpec, TypeVar

from engine.model import ZERO, ModelError, checked, rounded
from engine.venues.decoding import wire_error

P = ParamSpec("P")
R = TypeVar("R")


def checking(make: Callable[P, R]) -> Callable[P, R]:
    """Turn the model's complaint about a figure into the wire's."""

    def made(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return make(*args, **kwargs)
        except ModelError as error:
            raise wire_error(error, b"") from error

    return made


def not_negative(value: Decimal, field: str) -> Decimal:
    if checked(value, field) < ZERO:
        raise ModelError(field, "zero or more", str(value))
    return value


def some(value: Decimal | None, field: str) -> Decimal | None:
    """Zero is how the venue says "none" of a price. Averages come with all the decimals of a division."""
    return (rounded(value, field) or None) if value is not None else None
