"""An order book of one instrument: one writer (its feed), read in place by everyone on the loop.

A whole new book comes best level first and is kept as packed bytes until somebody looks: a feed that only ever replaces
(20 levels ten times a second) pays for one look at each level and one packing of them all, and hundreds of books hold no
objects that have to be freed, cold by then, when the next one comes. The first reader unpacks them into views, which are
kept until the next replacement. The first change puts the levels into two dictionaries (price → amount); from then on a
sorted view is built at the first read after a change and kept until the next one: an incremental book takes about ten
changes for every read, so sorting on read is cheaper than keeping order on write.

A book is `ready` from a snapshot until the first sign that a message was lost. A book that is not ready shows nothing:
readers get None and empty lists, never levels that may be wrong.
"""

from collections.abc import Iterable, Sequence
from heapq import nlargest, nsmallest
from math import inf

import msgspec

Level = tuple[float, float]  # (price, amount)

MAX_LEVELS = 20_000  # a side larger than this is a corrupted feed, not a market

_Views = tuple[tuple[Level, ...], tuple[Level, ...]]
_pack_into = msgspec.msgpack.Encoder().encode_into
_unpack = msgspec.msgpack.Decoder(_Views).decode


class Book:
    """Bids and asks as float64; `change_id` is the venue's own sequence number, `venue_ms` its clock.

    Both sides are in `_packed` while it is `_whole`, and each in its dictionary otherwise; a view is None after
    a change or a replacement, until somebody asks for it.
    """

    __slots__ = (
        "_asks", "_asks_view", "_bids", "_bids_view", "_packed", "_whole", "change_id", "gaps", "ready", "venue_ms",
    )  # fmt: skip

    def __init__(self) -> None:
        self._bids: dict[float, float] = {}
        self._asks: dict[float, float] = {}
        self._bids_view: tuple[Level, ...] | None = None
        self._asks_view: tuple[Level, ...] | None = None
        self._packed = bytearray()  # written over and over
        self._whole = False
        self.change_id = -1
        self.ready = False
        self.gaps = 0
        self.venue_ms = 0

    def replace(self, bids: Sequence[Level], asks: Sequence[Level], *, change_id: int, venue_ms: int) -> bool:
        """A snapshot: every level is new. False when it is crossed or absurd: the book then shows nothing."""
        high, low = _falling(bids), _rising(asks)
        self.change_id = change_id
        self.venue_ms = venue_ms
        if (high and low and high[0][0] >= low[0][0]) or len(high) > MAX_LEVELS or len(low) > MAX_LEVELS:
            self.ready = False
            self.lose()
            return False
        _pack_into((high, low), self._packed)
        self._bids_view = self._asks_view = None
        if not self._whole:
            self._whole = True
            self._bids.clear()
            self._asks.clear()
        self.ready = True
        return True

    def change(
        self, bids: Iterable[Level], asks: Iterable[Level], *, previous_id: int, change_id: int, venue_ms: int
    ) -> bool:
        """Absolute amounts for some levels, zero removes.

        False when a message is missing: the book then shows nothing.
        """
        if not self.ready or previous_id != self.change_id:
            self.lose()
            return False
        if self._whole:
            self._bids, self._asks = map(dict, self._views())
            self._whole = False
            self._packed.clear()
        _write(self._bids, bids)
        _write(self._asks, asks)
        self._bids_view = self._asks_view = None
        self.change_id = change_id
        self.venue_ms = venue_ms
        if len(self._bids) > MAX_LEVELS or len(self._asks) > MAX_LEVELS:
            self.lose()
            return False
        return True

    def lose(self) -> None:
        """Something is missing: stop showing levels until the next snapshot."""
        if self.ready:
            self.gaps += 1
        self.ready = self._whole = False
        self._bids.clear()
        self._asks.clear()
        self._bids_view = self._asks_view = ()

    def best_bid(self) -> Level | None:
        """Highest bid, or None for an empty side or a book that is not ready."""
        if self._whole or self._bids_view:
            return next(iter(self.bids()), None)
        if not self._bids:
            return None
        price = max(self._bids)
        return price, self._bids[price]

    def best_ask(self) -> Level | None:
        """Lowest ask, or None for an empty side or a book that is not ready."""
        if self._whole or self._asks_view:
            return next(iter(self.asks()), None)
        if not self._asks:
            return None
        price = min(self._asks)
        return price, self._asks[price]

    def bids(self, depth: int | None = None) -> tuple[Level, ...]:
        """Bids, best first; all of them when `depth` is None."""
        view = self._bids_view
        if view is None:
            if self._whole:
                view, _ = self._views()
            elif depth is not None:
                return tuple(nlargest(depth, self._bids.items()))
            else:
                view = self._bids_view = tuple(sorted(self._bids.items(), reverse=True))
        return view[:depth]

    def asks(self, depth: int | None = None) -> tuple[Level, ...]:
        """Asks, best first; all of them when `depth` is None."""
        view = self._asks_view
        if view is None:
            if self._whole:
                _, view = self._views()
            elif depth is not None:
                return tuple(nsmallest(depth, self._asks.items()))
            else:
                view = self._asks_view = tuple(sorted(self._asks.items()))
        return view[:depth]

    def _views(self) -> _Views:
        """Both sides of a whole book."""
        if self._bids_view is None or self._asks_view is None:
            self._bids_view, self._asks_view = _unpack(self._packed)
        return self._bids_view, self._asks_view

    def mid(self) -> float | None:
        bid, ask = self.best_bid(), self.best_ask()
        return None if bid is None or ask is None else (bid[0] + ask[0]) / 2

    @property
    def crossed(self) -> bool:
        """Whether changes have led to what no market shows; a snapshot like that is refused."""
        if self._whole:
            return False
        bid, ask = self.best_bid(), self.best_ask()
        return bid is not None and ask is not None and bid[0] >= ask[0]


def _falling(levels: Sequence[Level]) -> Sequence[Level]:
    """Bids best first, each price once, without empty ones. They nearly always come so."""
    above = inf
    for price, amount in levels:
        if not (price < above and amount > 0.0):
            return sorted(_positive(levels).items(), reverse=True)
        above = price
    return levels


def _rising(levels: Sequence[Level]) -> Sequence[Level]:
    """Asks best first, each price once, without empty ones."""
    below = -inf
    for price, amount in levels:
        if not (price > below and amount > 0.0):
            return sorted(_positive(levels).items())
        below = price
    return levels


def _positive(levels: Sequence[Level]) -> dict[float, float]:
    return {price: amount for price, amount in levels if amount > 0.0}


def _write(side: dict[float, float], levels: Iterable[Level]) -> None:
    for price, amount in levels:
        if amount > 0.0:
            side[price] = amount
        else:
            side.pop(price, None)
