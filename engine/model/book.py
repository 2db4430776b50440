"""An order book of one instrument: one writer (its feed), read in place by everyone on the loop.

Levels live in two dictionaries (price → amount). The sorted view a reader asks for is built at the first read after a
change and kept until the next one: an incremental book takes about ten changes for every read, so sorting on read is
cheaper than keeping order on write.

A book is `ready` from a snapshot until the first sign that a message was lost. A book that is not ready shows nothing:
readers get None and empty lists, never levels that may be wrong.
"""

from collections.abc import Iterable
from heapq import nlargest, nsmallest

Level = tuple[float, float]  # (price, amount)

MAX_LEVELS = 20_000  # a side larger than this is a corrupted feed, not a market


class Book:
    """Bids and asks as float64; `change_id` is the venue's own sequence number, `venue_ms` its clock."""

    __slots__ = ("_asks", "_asks_view", "_bids", "_bids_view", "change_id", "gaps", "ready", "venue_ms")

    def __init__(self) -> None:
        self._bids: dict[float, float] = {}
        self._asks: dict[float, float] = {}
        self._bids_view: tuple[Level, ...] | None = None
        self._asks_view: tuple[Level, ...] | None = None
        self.change_id = -1
        self.ready = False
        self.gaps = 0
        self.venue_ms = 0

    def replace(self, bids: Iterable[Level], asks: Iterable[Level], *, change_id: int, venue_ms: int) -> bool:
        """A snapshot: every level is new. False when it is crossed or absurd: the book then shows nothing."""
        self._bids = {price: amount for price, amount in bids if amount > 0.0}
        self._asks = {price: amount for price, amount in asks if amount > 0.0}
        self._changed(change_id, venue_ms)
        self.ready = self._sane()
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
        _write(self._bids, bids)
        _write(self._asks, asks)
        self._changed(change_id, venue_ms)
        if len(self._bids) > MAX_LEVELS or len(self._asks) > MAX_LEVELS:
            self.lose()
            return False
        return True

    def lose(self) -> None:
        """Something is missing: stop showing levels until the next snapshot."""
        if self.ready:
            self.gaps += 1
        self.ready = False
        self._bids, self._asks = {}, {}
        self._bids_view = self._asks_view = None

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
        if depth is not None and self._bids_view is None:
            return tuple(nlargest(depth, self._bids.items()))
        if self._bids_view is None:
            self._bids_view = tuple(sorted(self._bids.items(), reverse=True))
        return self._bids_view[:depth]

    def asks(self, depth: int | None = None) -> tuple[Level, ...]:
        """Asks, best first; all of them when `depth` is None."""
        if depth is not None and self._asks_view is None:
            return tuple(nsmallest(depth, self._asks.items()))
        if self._asks_view is None:
            self._asks_view = tuple(sorted(self._asks.items()))
        return self._asks_view[:depth]

    def mid(self) -> float | None:
        bid, ask = self.best_bid(), self.best_ask()
        return None if bid is None or ask is None else (bid[0] + ask[0]) / 2

    @property
    def crossed(self) -> bool:
        bid, ask = self.best_bid(), self.best_ask()
        return bid is not None and ask is not None and bid[0] >= ask[0]

    def _sane(self) -> bool:
        return not self.crossed and len(self._bids) <= MAX_LEVELS and len(self._asks) <= MAX_LEVELS

    def _changed(self, change_id: int, venue_ms: int) -> None:
        self._bids_view = self._asks_view = None
        self.change_id = change_id
        self.venue_ms = venue_ms


def _write(side: dict[float, float], levels: Iterable[Level]) -> None:
    for price, amount in levels:
        if amount > 0.0:
            side[price] = amount
        else:
            side.pop(price, None)
