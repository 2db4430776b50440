"""The drill's own ledger: a position from its fills in the order they happened, in one pass, in fractions, by average cost.

It shares nothing with the node's books, so that one mistake is not made twice. What a contract is worth is written as one
number for both kinds, with the opposite sign of what it cost: amount × price for linear ones, −amount ÷ price for inverse ones, whose
profit is in the coin (Deribit: amount × (1/entry − 1/exit); Binance: amount × (exit − entry)).
"""

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction

import msgspec

from scripts.drills._accounts_ground import TrueFill

__all__ = ["Account", "account_of"]


class Account(msgspec.Struct, frozen=True):
    """What fills come to. `price` None when flat; `realised` without fees."""

    amount: Fraction = Fraction(0)
    price: Fraction | None = None
    realised: Fraction = Fraction(0)


def account_of(fills: Iterable[TrueFill], *, inverse: bool) -> Account:
    """All fills of one position."""
    amount = cost = realised = Fraction(0)
    for fill in fills:
        size = Fraction(fill.signed)
        closing = -_overlap(amount, size)
        if closing:
            share = closing / -amount
            realised += _worth(-closing, fill.price, inverse=inverse) - cost * share
            cost -= cost * share
            amount += closing
        opening = size - closing
        amount += opening
        cost += _worth(opening, fill.price, inverse=inverse)
    return Account(amount, _price(amount, cost, inverse=inverse), realised)


def _overlap(amount: Fraction, size: Fraction) -> Fraction:
    """The part of `size` that goes against `amount`, signed like what is held."""
    if amount * size >= 0:
        return Fraction(0)
    return -size if abs(size) <= abs(amount) else amount


def _worth(size: Fraction, price: Decimal, *, inverse: bool) -> Fraction:
    return -size / Fraction(price) if inverse else size * Fraction(price)


def _price(amount: Fraction, cost: Fraction, *, inverse: bool) -> Fraction | None:
    if not amount:
        return None
    return -amount / cost if inverse else cost / amount
