"""Peculiarities of a real venue's wire that a client must take: none is an error, and none comes every time."""

from decimal import Decimal
from typing import Any

import msgspec

from engine.kernel import Entropy

__all__ = ["Quirks", "QuirkSettings"]

MIN_EXPONENT_DIGITS = 3  # numbers with fewer digits to save are left alone


class QuirkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How often each peculiarity shows, as a share from 0 to 1."""

    exponent_share: float = 0.05  # of messages: their numbers are written as 1.0002e6
    unknown_field_share: float = 0.02  # of messages: an object has a field no documentation knows
    reply_first_share: float = 0.5  # of orders: the reply leaves before the notifications it caused
    slow_reply_share: float = 0.02  # of requests: the answer is overtaken by later ones
    slow_reply_s: float = 0.02

    @classmethod
    def none(cls) -> "QuirkSettings":
        """A venue without surprises."""
        return cls(exponent_share=0, unknown_field_share=0, reply_first_share=1, slow_reply_share=0)


class Quirks:
    """Rolls the dice for one venue."""

    def __init__(self, settings: QuirkSettings, entropy: Entropy) -> None:
        self._settings = settings
        self._entropy = entropy

    def dress(self, value: Any) -> Any:
        """`value` as it goes on the wire: the same figures, now and then in another form, now and then with company."""
        if self._roll(self._settings.exponent_share):
            value = _with_exponents(value)
        if self._roll(self._settings.unknown_field_share):
            value = _with_unknown_field(value)
        return value

    def reply_first(self) -> bool:
        return self._roll(self._settings.reply_first_share)

    def reply_delay_s(self) -> float:
        """How long a reply is held back: zero, mostly."""
        return self._settings.slow_reply_s if self._roll(self._settings.slow_reply_share) else 0.0

    def _roll(self, share: float) -> bool:
        return share > 0 and self._entropy.random() < share


def _with_exponents(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_exponents(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_exponents(item) for item in value]
    if isinstance(value, Decimal | float) and value:
        return msgspec.Raw(_exponent_form(Decimal(str(value))))
    return value


def _exponent_form(number: Decimal) -> bytes:
    """`1.0002e6`, `2.0e-5`; a number that gains nothing by it as usual, but never without a point."""
    sign, digits, exponent = number.normalize().as_tuple()
    assert isinstance(exponent, int), "only finite numbers go on the wire"
    power = len(digits) - 1 + exponent
    if abs(power) < MIN_EXPONENT_DIGITS:
        plain = format(number, "f")
        return (plain if "." in plain else plain + ".0").encode()
    text = "".join(map(str, digits))
    return f"{'-' if sign else ''}{text[0]}.{text[1:] or '0'}e{power}".encode()


def _with_unknown_field(value: Any) -> Any:
    """Only records grow fields; a map whose keys are names must not get a name that does not exist."""
    if isinstance(value, dict) and ("timestamp" in value or "instrument_name" in value):
        return {**value, "starbase_hint": {"v": 1}}
    if isinstance(value, list):
        return [_with_unknown_field(item) for item in value]
    return value
