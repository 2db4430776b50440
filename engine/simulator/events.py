"""What the exchange tells its listener: one batch for each action, so that what happened together stays together."""

from collections.abc import Sequence

import msgspec

from engine.simulator.book import BookRow
from engine.simulator.orders import Fill, Order, Submission, Trade

__all__ = ["Batch", "BookChange"]


class BookChange(msgspec.Struct, frozen=True):
    """What changed in one book. `previous_id` is the change before this one in the same book."""

    instrument: str
    change_id: int
    previous_id: int
    at_ms: int
    bids: Sequence[BookRow]
    asks: Sequence[BookRow]


class Batch(msgspec.Struct):
    """Everything one action did. Dicts are used as ordered sets; orders are live objects in their final state."""

    at_ms: int = 0
    books: list[BookChange] = msgspec.field(default_factory=list)
    trades: list[Trade] = msgspec.field(default_factory=list)
    forced: list[Submission] = msgspec.field(default_factory=list)  # liquidations that traded
    tickers: dict[str, None] = msgspec.field(default_factory=dict)
    indexes: dict[str, None] = msgspec.field(default_factory=dict)
    states: dict[str, None] = msgspec.field(default_factory=dict)
    orders: dict[str, Order] = msgspec.field(default_factory=dict)
    fills: list[Fill] = msgspec.field(default_factory=list)
    positions: dict[tuple[str, str], None] = msgspec.field(default_factory=dict)  # (account, instrument)
    wallets: dict[tuple[str, str], None] = msgspec.field(default_factory=dict)  # (account, currency)

    def __bool__(self) -> bool:
        return bool(self.books or self.tickers or self.orders or self.indexes or self.wallets or self.states)
