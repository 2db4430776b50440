"""What an amount of a coin costs at one venue, after fees: what venues are compared by.

Amounts are in the base coin. A linear contract counts in it too; an inverse one counts in the quote currency, so its amounts turn
into coins level by level, each at its own price.
"""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from engine.model.errors import ModelError
from engine.model.instruments import Instrument, InstrumentKind
from engine.model.market.book import Level
from engine.model.money import ZERO, floor_to, plain
from engine.model.terms import Side


class Walk(msgspec.Struct, frozen=True):
    """`amount` in the instrument's unit, `price` the average without fees, `net_price` with them, in the route's common money."""

    amount: Decimal
    price: Decimal
    net_price: Decimal


def walk(
    instrument: Instrument,
    levels: Sequence[Level],
    *,
    side: Side,
    base_amount: Decimal,
    taker_fee: Decimal,
    rate: Decimal = Decimal(1),
) -> Walk:
    """Take `base_amount` coins from the other side's `levels`, best first.

    `taker_fee` is a fraction of the value; `rate` the worth of one unit of the quote currency. Raises `ModelError` saying why
    this instrument cannot serve.
    """
    if instrument.kind is InstrumentKind.OPTION:
        raise ModelError("instrument", "a future, a perpetual or spot", instrument.kind)
    left, value = base_amount, ZERO
    for raw_price, raw_amount in levels:
        price = Decimal(repr(raw_price))
        here = Decimal(repr(raw_amount))
        coins = min(left, here / price if instrument.inverse else here)
        left -= coins
        value += coins * price
        if left <= 0:
            break
    if left > 0:
        raise ModelError("book", f"{plain(base_amount)} {instrument.base} on its other side", plain(base_amount - left))
    average = value / base_amount
    amount = floor_to(base_amount * average if instrument.inverse else base_amount, instrument.lot_size)
    instrument.check_amount(amount)
    return Walk(amount, average, average * (1 + side.sign * taker_fee) * rate)
