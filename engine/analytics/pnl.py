"""Profit and loss of a position: realised by its fills, unrealised at a mark, and what fees and funding leave of it.

The venues' formulas are in `engine.model` (`profit`, `averaged`), which the books use, so that no figure has two definitions: linear
`amount × (exit − entry)`, inverse `amount × (1/entry − 1/exit)`, amounts of a short below zero.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from engine.model import ZERO, Fill, PositionBook, folded, profit, step_of


class Pnl(msgspec.Struct, frozen=True, kw_only=True):
    """In `currency`, the settlement currency. `fees` and `funding` are those in that currency; a fee paid in another coin is not in
    `net`. `unrealised` is None without a mark.
    """

    currency: str
    realised: Decimal
    unrealised: Decimal | None
    fees: Decimal
    funding: Decimal

    @property
    def net(self) -> Decimal | None:
        """All of it; None while it depends on a mark that is not known."""
        return None if self.unrealised is None else self.realised + self.unrealised - self.fees + self.funding


def unrealised(amount: Decimal, price: Decimal | None, mark: Decimal | None, *, inverse: bool | None) -> Decimal | None:
    """What closing `amount`, held at `price`, at `mark` would make; None where that cannot be said, nothing when flat."""
    if not amount:
        return ZERO
    if price is None or mark is None or mark <= ZERO or inverse is None:
        return None
    return profit(amount, price, mark, inverse=inverse)


def realised(fills: Iterable[Fill], *, inverse: bool) -> Decimal:
    """What the fills of one position realised, without fees, in whatever order they are given."""
    return folded(map(step_of, fills), inverse=inverse).realised


def pnl_of(book: PositionBook, mark: Decimal | None, funding: Mapping[str, Decimal] | None = None) -> Pnl:
    """Of a position as its book has it. `funding` by currency, received above zero."""
    return Pnl(
        currency=book.currency,
        realised=book.held.realised,
        unrealised=unrealised(book.held.amount, book.held.price, mark, inverse=book.inverse),
        fees=book.fees.get(book.currency, ZERO),
        funding=(funding or {}).get(book.currency, ZERO),
    )
