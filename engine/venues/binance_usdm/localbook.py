"""A whole order book out of changes and one snapshot.

The changes of a symbol are a chain: each says after which update it follows (`pu`) and up to which it reaches (`u`). The
stream is opened first and what it brings is kept; then a snapshot is asked for, which stands at one update L of the chain.
From L on one rule joins the pieces: a change belongs next when `pu` ≤ L < `u`, and then L is its `u`.

* `u` ≤ L: old. It was in the snapshot, or came by the other connection while one replaces another.
* `pu` = L: follows exactly. It is so after the first; and often for the first too, when the snapshot was taken at the end
  of a change.
* `pu` < L < `u`: spans L. The first one usually does. Amounts are absolute, so writing some of them again is harmless.
* `pu` > L: something between is lost. The book shows nothing and starts again from a new snapshot.

`U`, the first update in a change, is not `pu` + 1: the venue counts the updates of all symbols together.
"""

from collections import deque

from engine.model import DataClass, MarketState, Source
from engine.venues.base import Applied, BookSnapshot
from engine.venues.binance_usdm.heard import COUNTS_ANEW_MS, Heard
from engine.venues.binance_usdm.wire import DepthEvent

MAX_WAITING = 100  # changes kept for a snapshot: what comes while one is on its way, 10 s at the fastest pace

_GAP = Applied.BOOK | Applied.GAP
_SNAPSHOT = Applied.BOOK | Applied.SNAPSHOT


class LocalBook:
    """One symbol's place in the chain; the levels are in `MarketState.book`."""

    def __init__(self) -> None:
        self._waiting: deque[DepthEvent] = deque(maxlen=MAX_WAITING)
        self._at = -1  # the update the book stands at if we wrote it, -1: it does not stand in the chain
        self._told = False  # that a snapshot is needed
        self._heard = Heard(DataClass.BOOK)

    def take(self, event: DepthEvent, state: MarketState, now_s: float) -> Applied:
        """Write the next change. `Applied.GAP`: a snapshot is needed, and what comes is kept for it."""
        book = state.book
        if self._at < 0 or not book.ready or book.change_id != self._at:
            return self._keep(event, state)
        if event.pu <= self._at < event.u:
            return self._write(event, state, now_s)
        if event.u <= self._at and event.E - book.venue_ms < COUNTS_ANEW_MS:
            self._heard.old(event.u, state)
            return Applied.NOTHING
        return self._keep(event, state)

    def seed(self, snapshot: BookSnapshot, state: MarketState, now_s: float) -> Applied:
        """Begin at `snapshot` and catch up with the stream. `Applied.GAP`: it does not meet what came; ask for another."""
        if snapshot.change_id <= self._at and state.book.ready:
            return Applied.NOTHING
        waiting, last = self._waiting, snapshot.change_id
        while waiting and waiting[0].u <= last:
            waiting.popleft()
        if waiting and waiting[0].pu > last:
            return self._lose(state)
        if not state.book.replace(snapshot.bids, snapshot.asks, change_id=last, venue_ms=snapshot.venue_ms):
            return self._lose(state)
        self._at, self._told = last, False
        state.touch(DataClass.BOOK, Source.REST, now_s)
        while waiting:
            if self._write(waiting.popleft(), state, now_s) & Applied.GAP:
                return _GAP
        return _SNAPSHOT

    def _write(self, event: DepthEvent, state: MarketState, now_s: float) -> Applied:
        book = state.book
        if not book.change(event.b, event.a, previous_id=self._at, change_id=event.u, venue_ms=event.E):
            return self._lose(state)
        self._at = event.u
        self._heard.note(event.u)
        state.touch(DataClass.BOOK, Source.STREAM, now_s)
        return Applied.BOOK

    def _keep(self, event: DepthEvent, state: MarketState) -> Applied:
        """The changes kept are a chain too: a break in it makes what came before useless."""
        waiting, told = self._waiting, self._told
        if waiting:
            newest = waiting[-1]
            if event.u <= newest.u and event.E - newest.E < COUNTS_ANEW_MS:
                return Applied.NOTHING
            if not event.pu <= newest.u < event.u:
                waiting.clear()
        waiting.append(event)
        lost = self._lose(state)
        return Applied.NOTHING if told else lost

    def _lose(self, state: MarketState) -> Applied:
        self._at, self._told = -1, True
        state.book.lose()
        return _GAP
