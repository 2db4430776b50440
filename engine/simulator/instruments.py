"""Contracts and their arithmetic: what an amount is worth, what a fill costs, what margin a position needs."""

from decimal import ROUND_HALF_EVEN, Decimal

import msgspec

from engine.simulator.orders import ZERO, Side

__all__ = ["Instrument"]


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """A listed future. Rates are fractions; margins are `base + slope * coins` of the position's value."""

    name: str
    base: str
    quote: str
    settlement: str
    index: str
    inverse: bool
    perpetual: bool
    tick: Decimal
    contract_size: Decimal
    min_amount: Decimal
    maker_rate: Decimal
    taker_rate: Decimal
    liquidation_rate: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal
    margin_slope: Decimal
    max_leverage: int
    money_step: Decimal
    band: Decimal  # how far from the mark a buy's limit may lie above it, or a sell's below, as a fraction
    created_ms: int
    expires_ms: int | None = None
    reference_step: Decimal = Decimal("0.01")  # of the index and the mark
    funding_accrues: bool = True  # continuously, as the mark moves; otherwise the venue's face pays it at fixed times

    def worth(self, size: Decimal, price: Decimal) -> Decimal:
        """The signed settlement-coin value of a signed size, such that profit = worth(now) - worth(then).

        Inverse contracts pay size * (1/then - 1/now), so their worth is -size/price; linear ones size * price.
        """
        return -size / price if self.inverse else size * price

    def value(self, amount: Decimal, price: Decimal) -> Decimal:
        """The unsigned settlement-coin value of an amount."""
        return abs(self.worth(amount, price))

    def coins(self, amount: Decimal, price: Decimal) -> Decimal:
        """An amount in base coins."""
        return amount / price if self.inverse else amount

    def quote_value(self, amount: Decimal, price: Decimal) -> Decimal:
        return amount if self.inverse else amount * price

    def average_price(self, size: Decimal, worth: Decimal) -> Decimal:
        """The price at which `size` has this worth: harmonic for inverse contracts, arithmetic for linear ones."""
        if not size or not worth:
            return ZERO
        return abs(size / worth) if self.inverse else abs(worth / size)

    def money(self, value: Decimal) -> Decimal:
        """Round to the settlement coin's smallest unit."""
        return value.quantize(self.money_step, ROUND_HALF_EVEN)

    def rates(self, amount: Decimal, price: Decimal) -> tuple[Decimal, Decimal]:
        """Initial and maintenance margin as fractions of the value, for a position of this size."""
        slope = self.margin_slope * self.coins(amount, price)
        return self.initial_margin + slope, self.maintenance_margin + slope

    def on_tick(self, price: Decimal) -> bool:
        return not price % self.tick

    def snap(self, price: Decimal, side: Side) -> Decimal:
        """The nearest price on the grid that is not better for a counterparty than `price`."""
        down = price // self.tick * self.tick
        return down if side is Side.BUY or down == price else down + self.tick

    def on_step(self, amount: Decimal) -> bool:
        return amount > 0 and not amount % self.min_amount
