"""An order book of one instrument: one writer (its feed), read in place by everyone on the loop.

A whole new book comes best level first and is kept as it came: that is the view a reader asks for, and a feed that only
ever replaces (20 levels ten times a second) pays for one look at each level. The first change after it puts the levels
into two dictionaries (price → amount); from then on the sorted view is built at the first read after a change and kept
until the next one: an incremental book takes about ten changes for every read, so sorting on read is cheaper than
keeping order on write.

A book is `ready` from a snapshot until the first sign that a message was lost. A book that is not ready shows nothing:
readers get None and empty lists, never levels that may be wrong.
"""

from collections.abc import Iterable
from heapq import nlargest, nsmallest
from math import inf

Level = tuple[float, float]  # (price, amount)

MAX_LEVELS = 20_000  # a side larger than this is a corrupted feed, not a market


class Book:
    """Bids and asks as float64; `change_id` is the venue's own sequence number, `venue_ms` its clock.

    A side is held in its dictionary, in its view, or in both: one of them is always not None.
    """

    __slots__ = ("_asks", "_asks_view", "_bids", "_bids_view", "change_id", "gaps", "ready", "venue_ms")

    def __init__(self) -> None:
        self._bids: dict[float, float] | None = None
        self._asks: dict[float, float] | None = None
        self._bids_view: tuple[Level, ...] | None = ()
        self._asks_view: tuple[Level, ...] | None = ()
        self.change_id = -1
        self.ready = False
        self.gaps = 0
        self.venue_ms = 0

    def replace(self, bids: Iterable[Level], asks: Iterable[Level], *, change_id: int, venue_ms: int) -> bool:
        """A snapshot: every level is new. False when it is crossed or absurd: the book then shows nothing."""
        self._bids = self._asks = None
        self._bids_view = high = _falling(tuple(bids))
        self._asks_view = low = _rising(tuple(asks))
        self.change_id = change_id
        self.venue_ms = venue_ms
        crossed = high and low and high[0][0] >= low[0][0]
        self.ready = not crossed and len(high) <= MAX_LEVELS and len(low) <= MAX_LEVELS
        if not self.ready:
            self.lose()
        return self.ready

    def change(
        self, bids: Iterable[Level], asks: Iterable[Level], *, previous_id: int, change_id: int, venue_ms: int
    ) -> bool:
        """Absolute amounts for some levels, zero removes.

        False when a message is missing: the book then shows nothing.
        """
        if not self.ready or previous_id != self.change_id:
            self.lose()
            return False
        high = self._bids = _dict(self._bids, self._bids_view)
        low = self._asks = _dict(self._asks, self._asks_view)
        _write(high, bids)
        _write(low, asks)
        self._bids_view = self._asks_view = None
        self.change_id = change_id
        self.venue_ms = venue_ms
        if len(high) > MAX_LEVELS or len(low) > MAX_LEVELS:
            self.lose()
            return False
        return True

    def lose(self) -> None:
        """Something is missing: stop showing levels until the next snapshot."""
        if self.ready:
            self.gaps += 1
        self.ready = False
        self._bids = self._asks = None
        self._bids_view = self._asks_view = ()

    def best_bid(self) -> Level | None:
        """Highest bid, or None for an empty side or a book that is not ready."""
        if self._bids_view:
            return self._bids_view[0]
        if not self._bids:
            return None
        price = max(self._bids)
        return price, self._bids[price]

    def best_ask(self) -> Level | None:
        """Lowest ask, or None for an empty side or a book that is not ready."""
        if self._asks_view:
            return self._asks_view[0]
        if not self._asks:
            return None
        price = min(self._asks)
        return price, self._asks[price]

    def bids(self, depth: int | None = None) -> tuple[Level, ...]:
        """Bids, best first; all of them when `depth` is None."""
        if self._bids_view is None:
            assert self._bids is not None, "a side without a view has its dictionary"
            if depth is not None:
                return tuple(nlargest(depth, self._bids.items()))
            self._bids_view = tuple(sorted(self._bids.items(), reverse=True))
        return self._bids_view[:depth]

    def asks(self, depth: int | None = None) -> tuple[Level, ...]:
        """Asks, best first; all of them when `depth` is None."""
        if self._asks_view is None:
            assert self._asks is not None, "a side without a view has its dictionary"
            if depth is not None:
                return tuple(nsmallest(depth, self._asks.items()))
            self._asks_view = tuple(sorted(self._asks.items()))
        return self._asks_view[:depth]

    def mid(self) -> float | None:
        bid, ask = self.best_bid(), self.best_ask()
        return None if bid is None or ask is None else (bid[0] + ask[0]) / 2

    @property
    def crossed(self) -> bool:
        bid, ask = self.best_bid(), self.best_ask()
        return bid is not None and ask is not None and bid[0] >= ask[0]


def _falling(levels: tuple[Level, ...]) -> tuple[Level, ...]:
    """Bids best first, each price once, without empty ones. They nearly always come so."""
    above = inf
    for price, amount in levels:
        if not (price < above and amount > 0.0):
            return tuple(sorted(_positive(levels).items(), reverse=True))
        above = price
    return levels


def _rising(levels: tuple[Level, ...]) -> tuple[Level, ...]:
    """Asks best first, each price once, without empty ones."""
    below = -inf
    for price, amount in levels:
        if not (price > below and amount > 0.0):
            return tuple(sorted(_positive(levels).items()))
        below = price
    return levels


def _positive(levels: tuple[Level, ...]) -> dict[float, float]:
    return {price: amount for price, amount in levels if amount > 0.0}


def _dict(side: dict[float, float] | None, view: tuple[Level, ...] | None) -> dict[float, float]:
    if side is not None:
        return side
    assert view is not None, "a side without a dictionary has its view"
    return dict(view)


def _write(side: dict[float, float], levels: Iterable[Level]) -> None:
    for price, amount in levels:
        if amount > 0.0:
            side[price] = amount
        else:
            side.pop(price, None)
