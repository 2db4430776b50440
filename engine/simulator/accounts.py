"""Accounts: wallets, positions and what is owed on them. Pure bookkeeping, no market logic.

Profit is booked the way derivative venues book it: fills and funding add to the session's profit, fees leave the
balance at once, and the daily settlement moves session profit, realised or not, into the balance. Session figures keep
full precision and only balances are rounded, so that money is conserved to the last digit of the arithmetic.
"""

from collections import deque
from decimal import Decimal

import msgspec

from engine.simulator.instruments import Instrument
from engine.simulator.orders import ZERO, Fill, Order, SelfTrading, Side, State

__all__ = ["Account", "Exposure", "LogEntry", "Position", "SelfTrading", "Settlement", "Wallet"]

MAX_ORDERS = 1_000_000
MAX_FILLS = 1_000_000
MAX_LOG = 200_000
MAX_SETTLEMENTS = 10_000


class Wallet(msgspec.Struct):
    balance: Decimal = ZERO
    session_profit: Decimal = ZERO  # realised since the last settlement, funding included
    total_profit: Decimal = ZERO  # realised over the account's life, before fees


class Position(msgspec.Struct):
    """A signed size with what it cost: `cost` since the last settlement, `entry_cost` since it was opened."""

    size: Decimal = ZERO
    cost: Decimal = ZERO
    entry_cost: Decimal = ZERO
    realised: Decimal = ZERO  # this session, funding included
    funding: Decimal = ZERO  # this session
    funding_mark: Decimal = ZERO  # the market's cumulative funding up to which this position has paid

    def trade(self, instrument: Instrument, size: Decimal, price: Decimal) -> Decimal:
        """Add a signed size bought or sold at `price`; return the profit realised by what it closed."""
        closing = -self._overlap(size)
        realised = self._close(instrument, closing, price) if closing else ZERO
        opening = size + closing
        worth = instrument.worth(opening, price) if opening else ZERO
        self.size += opening
        self.cost += worth
        self.entry_cost += worth
        self.realised += realised
        return realised

    def _overlap(self, size: Decimal) -> Decimal:
        """The part of `size` that goes against the position, signed like `size`."""
        if not self.size or (self.size > 0) == (size > 0):
            return ZERO
        return size if abs(size) <= abs(self.size) else -self.size

    def _close(self, instrument: Instrument, size: Decimal, price: Decimal) -> Decimal:
        """Take a part `size`, signed like the position, out of it at `price`."""
        proceeds = instrument.worth(size, price)
        if size == self.size:
            cost, self.cost, self.entry_cost = self.cost, ZERO, ZERO
        else:
            share = size / self.size
            cost = self.cost * share
            self.cost -= cost
            self.entry_cost -= self.entry_cost * share
        self.size -= size
        return proceeds - cost

    def unrealised(self, instrument: Instrument, mark: Decimal) -> Decimal:
        """Profit since the last settlement that is not realised yet."""
        return instrument.worth(self.size, mark) - self.cost if self.size else ZERO

    def pay_funding(self, cumulative: Decimal) -> Decimal:
        """Bring funding up to the market's cumulative figure; return what the position received (negative: paid)."""
        received = -self.size * (cumulative - self.funding_mark)
        self.funding_mark = cumulative
        self.funding += received
        self.realised += received
        return received


class Exposure(msgspec.Struct):
    """The unfilled amounts of an account's resting orders in one instrument."""

    buys: Decimal = ZERO
    sells: Decimal = ZERO
    reduce_only: int = 0

    def shift(self, side: Side, amount: Decimal) -> None:
        if side is Side.BUY:
            self.buys += amount
        else:
            self.sells += amount

    def against(self, side: Side) -> Decimal:
        """What rests on the other side."""
        return self.sells if side is Side.BUY else self.buys


class LogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One row of an account's transaction log. `change` is what it did to the balance."""

    entry_id: int
    kind: str  # deposit, withdrawal, transfer, trade, funding, settlement, delivery, correction, liquidation
    at_ms: int
    currency: str
    change: Decimal
    balance: Decimal
    cashflow: Decimal = ZERO
    commission: Decimal = ZERO
    interest: Decimal = ZERO
    session_profit: Decimal = ZERO
    instrument: str | None = None
    position: Decimal | None = None
    mark: Decimal | None = None
    index: Decimal | None = None
    fill: Fill | None = None


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """What one settlement, delivery or bankruptcy did to one position."""

    kind: str
    at_ms: int
    instrument: str
    position: Decimal
    profit: Decimal
    session_profit: Decimal
    funding: Decimal
    mark: Decimal
    index: Decimal


class Account:
    """One account. A house account belongs to the market's own flow: it has no margin and keeps no history.

    Positions and exposures go by holding: the instrument's name, with the leg where it holds both ways at once.
    `initial_rates` are margins the account chose itself, by instrument.
    """

    def __init__(self, name: str, *, house: bool = False) -> None:
        self.name = name
        self.house = house
        self.self_trading = SelfTrading.CANCEL_MAKER if house else SelfTrading.REJECT_TAKER
        self.wallets: dict[str, Wallet] = {}
        self.positions: dict[str, Position] = {}
        self.exposures: dict[str, Exposure] = {}
        self.initial_rates: dict[str, Decimal] = {}
        self.live: dict[str, Order] = {}
        self.orders: dict[str, Order] = {}
        self._labelled: dict[str, dict[str, Order]] = {}
        self.fills: deque[Fill] = deque(maxlen=MAX_FILLS)
        self.log: deque[LogEntry] = deque(maxlen=MAX_LOG)
        self.settlements: deque[Settlement] = deque(maxlen=MAX_SETTLEMENTS)
        self.log_count = 0

    def wallet(self, currency: str) -> Wallet:
        wallet = self.wallets.get(currency)
        if wallet is None:
            wallet = self.wallets[currency] = Wallet()
        return wallet

    def position(self, holding: str) -> Position:
        position = self.positions.get(holding)
        if position is None:
            position = self.positions[holding] = Position()
        return position

    def exposure(self, holding: str) -> Exposure:
        exposure = self.exposures.get(holding)
        if exposure is None:
            exposure = self.exposures[holding] = Exposure()
        return exposure

    def remember(self, order: Order) -> None:
        """Keep an order among the account's, the oldest closed one giving way when there are too many."""
        if self.house:
            return
        self.orders[order.order_id] = order
        self._labelled.setdefault(order.label, {})[order.order_id] = order
        if len(self.orders) > MAX_ORDERS:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        oldest = next(iter(self.orders.values()))
        if oldest.is_live:
            return
        del self.orders[oldest.order_id]
        same = self._labelled[oldest.label]
        del same[oldest.order_id]
        if not same:
            del self._labelled[oldest.label]

    def labelled(self, label: str) -> list[Order]:
        """Orders of any state with this label, oldest first."""
        return list(self._labelled.get(label, {}).values())

    def rest(self, order: Order) -> None:
        """Count an order as live; an open one also as exposure."""
        if self.house:
            return
        self.live[order.order_id] = order
        if order.state is State.OPEN:
            exposure = self.exposure(order.holding)
            exposure.shift(order.side, order.remaining)
            exposure.reduce_only += order.reduce_only

    def shrink(self, order: Order, amount: Decimal) -> None:
        """An open order's remainder changed by -`amount` (it was filled, or amended)."""
        if order.order_id in self.live:
            self.exposure(order.holding).shift(order.side, -amount)

    def unrest(self, order: Order) -> None:
        """Forget a live order. Its state must still be the one under which it rested."""
        if self.live.pop(order.order_id, None) is not None and order.state is State.OPEN:
            exposure = self.exposure(order.holding)
            exposure.shift(order.side, -order.remaining)
            exposure.reduce_only -= order.reduce_only
