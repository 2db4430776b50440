"""Frames of one instrument and route → its `MarketState`.

Decoding is typed and bounded, and finished before anything is written: a frame that does not decode leaves the state as it
was. Whatever the venue has stamped older than what is here changes nothing but a counter: while one connection replaces
another both bring the same, and not in step.
"""

from collections.abc import Callable

import numpy as np

from engine.model import DataClass, MarketState, Source
from engine.venues.base import Applied, BookSnapshot
from engine.venues.binance_usdm.barfeed import bars_applier
from engine.venues.binance_usdm.heard import COUNTS_ANEW_MS, Heard
from engine.venues.binance_usdm.localbook import LocalBook
from engine.venues.binance_usdm.names import HEAD, stream_of
from engine.venues.binance_usdm.settings import BinanceUsdmSettings
from engine.venues.binance_usdm.wire import (
    DepthEvent,
    ForcedEvent,
    MarkEvent,
    QuoteEvent,
    TopBookEvent,
    TradeEvent,
    Wrapped,
    decoder,
)
from engine.venues.decoding import WireError, decode

_TOP_BOOK = decoder(Wrapped[TopBookEvent])
_DEPTH = decoder(Wrapped[DepthEvent])
_QUOTE = decoder(Wrapped[QuoteEvent])
_TRADE = decoder(Wrapped[TradeEvent])
_MARK = decoder(Wrapped[MarkEvent])
_FORCED = decoder(Wrapped[ForcedEvent])

_MAX_STREAMS = 64
_TOPIC_BYTES = len("kline_1m")  # as many letters of a topic tell it from every other
_RECENT_FORCED = 16  # liquidations among which a second copy is looked for: one a second at most

_BOOK_SNAPSHOT = Applied.BOOK | Applied.SNAPSHOT
_BOOK_GAP = Applied.BOOK | Applied.GAP
_TRADES_HOLE = Applied.TRADES | Applied.HOLE

Apply = Callable[[bytes, MarketState, float], Applied]


class BinanceUsdmFeed:
    """See `engine.venues.base.FeedAdapter`."""

    def __init__(self, symbol: str, settings: BinanceUsdmSettings) -> None:
        self._symbol = symbol
        self._chain = LocalBook() if settings.book == "diff" else None
        self._books = Heard(DataClass.BOOK)
        self._marks = Heard(DataClass.MARK)
        self._quotes = Heard(DataClass.TICKER)
        self._quote_id = -1
        self._appliers: dict[bytes, Apply] = {}  # by how a frame begins, learned from the first frame of each stream
        self._beginning = len(HEAD) + len(symbol.encode()) + 1 + _TOPIC_BYTES

    @property
    def seed(self) -> Callable[[BookSnapshot, MarketState, float], Applied] | None:
        return None if self._chain is None else self._chain.seed

    def apply(self, frame: bytes, state: MarketState, now_s: float) -> Applied:
        applier = self._appliers.get(frame[: self._beginning])
        return (applier or self._learn(frame))(frame, state, now_s)

    def _learn(self, frame: bytes) -> Apply:
        applier = self._applier((stream_of(frame) or b"").decode("utf-8", "replace"))
        if frame.startswith(HEAD) and len(self._appliers) < _MAX_STREAMS:
            self._appliers[frame[: self._beginning]] = applier
        return applier

    def _applier(self, stream: str) -> Apply:
        symbol, _, topic = stream.partition("@")
        topic = topic.partition("@")[0]
        appliers: dict[str, Apply] = {
            "depth": self._apply_depth,
            "depth20": self._apply_top_book,
            "bookTicker": self._apply_quote,
            "aggTrade": _apply_trade,
            "markPrice": self._apply_mark,
            "forceOrder": _apply_forced,
        }
        kind, _, interval = topic.partition("_")
        applier = bars_applier(interval) if kind == "kline" else appliers.get(topic)
        if applier is None or symbol != self._symbol.lower():
            raise WireError(
                "stream", f"a book, quote, trade, bar, mark or liquidation stream of {self._symbol}", repr(stream[:80])
            )
        return applier

    def _apply_top_book(self, frame: bytes, state: MarketState, now_s: float) -> Applied:
        event, book = decode(_TOP_BOOK, frame).data, state.book
        if event.u <= book.change_id and book.ready and event.E - book.venue_ms < COUNTS_ANEW_MS:
            self._books.old(event.u, state)
            return Applied.NOTHING
        if not book.replace(event.b, event.a, change_id=event.u, venue_ms=event.E):
            return _BOOK_GAP
        self._books.note(event.u)
        state.touch(DataClass.BOOK, Source.STREAM, now_s)
        return _BOOK_SNAPSHOT

    def _apply_depth(self, frame: bytes, state: MarketState, now_s: float) -> Applied:
        if self._chain is None:
            raise WireError("stream", "depth20, as the settings say", "depth")
        return self._chain.take(decode(_DEPTH, frame).data, state, now_s)

    def _apply_quote(self, frame: bytes, state: MarketState, now_s: float) -> Applied:
        event, ticker = decode(_QUOTE, frame).data, state.ticker
        if event.u <= self._quote_id and event.E - ticker.venue_ms < COUNTS_ANEW_MS:
            self._quotes.old(event.u, state)
            return Applied.NOTHING
        self._quote_id = event.u
        self._quotes.note(event.u)
        ticker.bid = event.b or None
        ticker.ask = event.a or None
        ticker.venue_ms = event.E
        state.touch(DataClass.TICKER, Source.STREAM, now_s)
        return Applied.TICKER

    def _apply_mark(self, frame: bytes, state: MarketState, now_s: float) -> Applied:
        event, ticker = decode(_MARK, frame).data, state.ticker
        if ticker.mark_ms >= event.E:
            self._marks.old(event.E, state)
            return Applied.NOTHING
        ticker.mark = event.p or None
        ticker.index = event.i or None
        ticker.funding = None if event.r == "" else event.r
        ticker.next_funding_ms = event.T or None
        ticker.mark_ms = event.E
        self._marks.note(event.E)
        state.touch(DataClass.MARK, Source.STREAM, now_s)
        return Applied.MARK


def _apply_trade(frame: bytes, state: MarketState, now_s: float) -> Applied:
    event, trades = decode(_TRADE, frame).data, state.trades
    last = trades.last_seq
    side = -1 if event.m else 1  # the buyer was there first, so the taker sold
    if not trades.add(time_ms=event.T, price=event.p, amount=event.q, taker_side=side, trade_seq=event.a):
        return _mend_trades(event, side, state)
    state.ticker.last = event.p
    state.touch(DataClass.TRADES, Source.STREAM, now_s)
    return Applied.TRADES if event.a == last + 1 or last < 0 else _TRADES_HOLE


def _mend_trades(event: TradeEvent, side: int, state: MarketState) -> Applied:
    """A trade that is not after the last one: known, or one that only the other connection brought."""
    row = np.array(((event.T, event.p, event.q, side, event.a),), dtype=np.float64)
    new = state.trades.missed and state.trades.merge(row)
    quality = state.quality[DataClass.TRADES]
    if not new:
        quality.duplicates += 1
        return Applied.NOTHING
    quality.out_of_order += 1
    return Applied.TRADES


def _apply_forced(frame: bytes, state: MarketState, now_s: float) -> Applied:
    order, forced = decode(_FORCED, frame).data.o, state.forced
    row = (float(order.T), order.p, order.ap, order.q, order.z, 1.0 if order.S == "BUY" else -1.0)
    last = forced.last_key
    if last is not None and row[0] <= last:
        same = any(tuple(known) == row for known in forced.view(_RECENT_FORCED).tolist())
        quality = state.quality[DataClass.FORCED]
        if same:
            quality.duplicates += 1
            return Applied.NOTHING
        if row[0] < last:
            quality.out_of_order += 1
            return Applied.NOTHING
    forced.append(row)
    state.touch(DataClass.FORCED, Source.STREAM, now_s)
    return Applied.FORCED
