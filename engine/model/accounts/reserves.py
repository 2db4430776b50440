"""What our own orders keep of the free balance.

A venue takes the margin an order may need from what it calls available as soon as it has the order. That is no loss: it comes
back when the order ends. So free money is compared with that margin added, and without the margin of orders the venue has not
heard of yet.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal

import msgspec

from engine.model.accounts.fills import Position
from engine.model.instruments import Instrument
from engine.model.money import ZERO
from engine.model.orders.order import Order, OrderState
from engine.model.terms import Side

UNACKNOWLEDGED = (OrderState.SUBMITTING, OrderState.UNKNOWN)


class Reserves(msgspec.Struct, frozen=True):
    """By settlement currency. `held`: by orders the venue has; `coming`: by orders it may not know of yet."""

    held: dict[str, Decimal]
    coming: dict[str, Decimal]


def reserves(
    orders: Iterable[Order],
    positions: Iterable[Position],
    instrument_of: Callable[[str], Instrument | None],
) -> Reserves:
    """The initial margin of what resting orders could add to positions, the worse side of each instrument, at the highest
    leverage the venue gives (a venue that names none wants the whole value).

    An estimate: an account may have chosen less leverage. The price is the position's mark, else the orders' own.
    """
    held: dict[str, Decimal] = {}
    amounts: dict[str, Decimal] = {}
    marks: dict[str, Decimal | None] = {}
    for position in positions:
        amounts[position.instrument] = amounts.get(position.instrument, ZERO) + position.amount
        marks[position.instrument] = position.mark_price
    of_instrument: dict[str, list[Order]] = {}
    for order in orders:
        if order.state.may_be_live and not order.reduce_only and order.remaining > 0:
            of_instrument.setdefault(order.instrument, []).append(order)
    coming: dict[str, Decimal] = {}
    for name, all_of_it in of_instrument.items():
        instrument = instrument_of(name)
        if instrument is None:
            continue
        amount, mark = amounts.get(name, ZERO), marks.get(name)
        known = [order for order in all_of_it if order.state not in UNACKNOWLEDGED]
        there = _margin(known, amount, instrument, mark)
        both = _margin(all_of_it, amount, instrument, mark)
        currency = instrument.settlement
        held[currency] = held.get(currency, ZERO) + there
        coming[currency] = coming.get(currency, ZERO) + both - there
    return Reserves(held, coming)


def _margin(orders: list[Order], amount: Decimal, instrument: Instrument, mark: Decimal | None) -> Decimal:
    buys = sum((order.remaining for order in orders if order.side is Side.BUY), ZERO)
    sells = sum((order.remaining for order in orders if order.side is Side.SELL), ZERO)
    more = max(abs(amount + buys), abs(amount - sells), abs(amount)) - abs(amount)
    price = mark or next((order.price for order in orders if order.price), None)
    if not more or price is None:
        return ZERO
    value = more / price if instrument.inverse else more * price
    return value / (instrument.max_leverage or 1)
