"""What calls to a venue answer that is no word of the model."""

import msgspec

from engine.model import CashFlow, Fill, OrderReport


class OrderSearch(msgspec.Struct, frozen=True):
    """Outcome of looking for one client id in every source the venue has.

    `report` None: every source answered and none knew it.
    """

    report: OrderReport | None
    sources: tuple[str, ...]


class FillPage(msgspec.Struct, frozen=True):
    """Fills after a point in time, oldest first; `complete` is False when the page limit cut them."""

    fills: tuple[Fill, ...]
    complete: bool


class FlowPage(msgspec.Struct, frozen=True):
    """Lines of an account's statement, oldest first; `complete` is False when the page limit cut them: ask on from the last
    one's time, which brings the lines of that millisecond again. It is later than the time that was asked from.
    """

    flows: tuple[CashFlow, ...]
    complete: bool


class KeyPermissions(msgspec.Struct, frozen=True):
    """What a pair of credentials may do, as the venue says; `text` in its own words. None: it does not say."""

    read: bool
    trade: bool | None
    withdraw: bool | None
    text: str


class BookSnapshot(msgspec.Struct, frozen=True):
    bids: tuple[tuple[float, float], ...]
    asks: tuple[tuple[float, float], ...]
    change_id: int
    venue_ms: int


class TickerSnapshot(msgspec.Struct, frozen=True):
    bid: float | None
    ask: float | None
    last: float | None
    mark: float | None
    index: float | None
    funding: float | None
    open_interest: float | None
    venue_ms: int


class MarkSnapshot(msgspec.Struct, frozen=True):
    mark: float | None
    index: float | None
    funding: float | None
    next_funding_ms: int | None
    venue_ms: int


class TradeRow(msgspec.Struct, frozen=True):
    """One public trade; `taker_side` is 1 for a buyer, -1 for a seller."""

    time_ms: int
    price: float
    amount: float
    taker_side: int
    trade_seq: int
