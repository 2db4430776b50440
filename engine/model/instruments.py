"""Instruments: identity, tick and lot rules, contract value.

An instrument is `<venue>:<native symbol>`. Amounts are in the venue's own unit: US dollars for Deribit's inverse
futures, base coin for linear ones.
"""

from decimal import Decimal
from enum import StrEnum

import msgspec

from engine.model.errors import ModelError
from engine.model.money import ZERO, ceil_to, checked, floor_to, nearest_to, on_grid, plain, positive


class InstrumentKind(StrEnum):
    PERPETUAL = "perpetual"
    FUTURE = "future"
    OPTION = "option"
    SPOT = "spot"


class Snap(StrEnum):
    """What to do with a price between two ticks. Nothing is snapped unless the caller says how."""

    REFUSE = "refuse"
    PASSIVE = "passive"  # away from the market: buys down, sells up
    AGGRESSIVE = "aggressive"  # towards the market: buys up, sells down
    NEAREST = "nearest"


class TickStep(msgspec.Struct, frozen=True):
    """Prices above `above_price` move in steps of `tick_size`."""

    above_price: Decimal
    tick_size: Decimal


class PriceBand(msgspec.Struct, frozen=True):
    """The venue takes no bid above the mark times `up`, and no offer below the mark times `down`."""

    up: Decimal
    down: Decimal


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One tradable contract as its venue describes it. `expires_at_ms` is None for what never expires, any other rule for what
    the venue does not say.

    `min_notional` is of orders that may open a position; `max_market_amount` of orders without a price, `max_amount` of others.
    """

    instrument_id: str  # "<venue>:<symbol>"
    venue: str
    symbol: str
    kind: InstrumentKind
    base: str
    quote: str
    settlement: str  # currency of profit, loss and margin
    inverse: bool  # True: amounts in quote currency, profit in base
    tick_size: Decimal
    tick_steps: tuple[TickStep, ...] = ()
    lot_size: Decimal  # amounts are multiples of it
    min_amount: Decimal
    max_amount: Decimal | None = None
    max_market_amount: Decimal | None = None
    min_notional: Decimal | None = None
    price_band: PriceBand | None = None
    contract_size: Decimal
    maker_fee: Decimal = ZERO
    taker_fee: Decimal = ZERO
    max_leverage: Decimal | None = None
    expires_at_ms: int | None = None
    active: bool = True

    def tick_at(self, price: Decimal) -> Decimal:
        """The step prices move in around `price`: of the steps below it the highest one's."""
        tick, reached = self.tick_size, ZERO
        for step in self.tick_steps:
            if price > step.above_price >= reached:
                tick, reached = step.tick_size, step.above_price
        return tick

    def check_amount(self, amount: Decimal) -> Decimal:
        """`amount` if the venue would take it; `ModelError` naming the rule otherwise."""
        positive(amount, "amount")
        if amount < self.min_amount:
            raise ModelError("amount", f"at least {plain(self.min_amount)}", plain(amount))
        if not on_grid(amount, self.lot_size):
            raise ModelError("amount", f"a multiple of {plain(self.lot_size)}", plain(amount))
        return amount

    def snap_price(self, price: Decimal, *, buying: bool, how: Snap, field: str = "price") -> Decimal:
        """`price` on the tick grid by the rule `how`; `Snap.REFUSE` raises `ModelError` for one between two ticks."""
        checked(price, field)
        if price <= ZERO:
            raise ModelError(field, "a number above zero", plain(price))
        tick = self.tick_at(price)
        if on_grid(price, tick):
            return price
        if how is Snap.REFUSE:
            raise ModelError(field, f"a multiple of the tick {plain(tick)}", plain(price))
        if how is Snap.NEAREST:
            return nearest_to(price, tick)
        down = buying if how is Snap.PASSIVE else not buying
        return floor_to(price, tick) if down else ceil_to(price, tick)

    def notional(self, amount: Decimal, price: Decimal) -> Decimal:
        """Value of `amount` in the quote currency at `price`: inverse amounts are the notional already."""
        return amount if self.inverse else amount * price


def instrument_id(venue: str, symbol: str) -> str:
    return f"{venue}:{symbol}"


def split_instrument(name: str, default_venue: str) -> tuple[str, str]:
    """(venue, symbol) of `venue:symbol`; a bare symbol belongs to `default_venue`."""
    venue, colon, symbol = name.partition(":")
    return (venue, symbol) if colon else (default_venue, name)
