"""Frames of one instrument → its `MarketState`.

Decoding is typed and bounded, and finished before anything is written: a frame that does not decode leaves the state as it was.
"""

from collections.abc import Callable

import msgspec

from engine.model import DataClass, MarketState, Source
from engine.venues.base import Applied
from engine.venues.decoding import WireError, decode
from engine.venues.deribit.bars import UNSAID, BarHalves
from engine.venues.deribit.names import INTERVALS, channel_of
from engine.venues.deribit.wire import BookData, ChartData, Note, TickerData, TradeData

_BOOK = msgspec.json.Decoder(Note[BookData])
_TICKER = msgspec.json.Decoder(Note[TickerData])
_TRADES = msgspec.json.Decoder(Note[list[TradeData]])
_CHART = msgspec.json.Decoder(Note[ChartData])
_MAX_CHANNELS = 64

Apply = Callable[[bytes, MarketState, float], Applied]


class DeribitFeed:
    """See `engine.venues.base.FeedAdapter`."""

    seed = None

    def __init__(self, symbol: str, halves: BarHalves) -> None:
        self._symbol = symbol
        self._halves = halves
        self._appliers: dict[bytes, Apply] = {}  # by channel, learned from the first frame of each

    def apply(self, frame: bytes, state: MarketState, now_s: float) -> Applied:
        channel = channel_of(frame)
        applier = self._appliers.get(channel) if channel is not None else None
        return (applier or self._learn(channel))(frame, state, now_s)

    def _learn(self, channel: bytes | None) -> Apply:
        applier = self._applier((channel or b"").decode("ascii", "replace"))
        if channel is not None and len(self._appliers) < _MAX_CHANNELS:
            self._appliers[channel] = applier
        return applier

    def _applier(self, channel: str) -> Apply:
        topic, _, rest = channel.partition(".")
        if topic == "book" and rest.count(".") == 1:
            return _apply_book
        if topic == "ticker":
            return _apply_ticker
        if topic == "trades":
            return _apply_trades
        interval = INTERVALS.get(rest.rpartition(".")[2])
        if topic == "chart" and interval is not None:
            return self._bars_applier(interval)
        raise WireError("params.channel", "a book, ticker, trades or chart channel", repr(channel[:80]))

    def _bars_applier(self, interval: str) -> Apply:
        def apply(frame: bytes, state: MarketState, now_s: float) -> Applied:
            data = decode(_CHART, frame).params.data
            row: tuple[float, ...] | None = (
                float(data.tick),
                data.open,
                data.high,
                data.low,
                data.close,
                data.volume,
                data.cost,
                *UNSAID,
            )
            if interval == "4h" and row is not None:
                row = self._halves.put(self._symbol, row)
            bars = state.bars.get(interval)
            if bars is None or row is None:
                return Applied.NOTHING
            bars.upsert(row)
            state.touch(DataClass.BARS, Source.STREAM, now_s)
            return Applied.BARS

        return apply


def _apply_book(frame: bytes, state: MarketState, now_s: float) -> Applied:
    data = decode(_BOOK, frame).params.data
    book = state.book
    bids = [(price, 0.0 if action == "delete" else amount) for action, price, amount in data.bids]
    asks = [(price, 0.0 if action == "delete" else amount) for action, price, amount in data.asks]
    if data.type == "snapshot":
        whole = book.replace(bids, asks, change_id=data.change_id, venue_ms=data.timestamp)
        applied = Applied.BOOK | Applied.SNAPSHOT
    elif not book.ready:
        return Applied.NOTHING  # known to be incomplete; its snapshot is on the way
    else:
        previous_id = -1 if data.prev_change_id is None else data.prev_change_id
        whole = book.change(bids, asks, previous_id=previous_id, change_id=data.change_id, venue_ms=data.timestamp)
        applied = Applied.BOOK
    if not whole:
        return Applied.BOOK | Applied.GAP
    state.touch(DataClass.BOOK, Source.STREAM, now_s)
    return applied


def _apply_ticker(frame: bytes, state: MarketState, now_s: float) -> Applied:
    data = decode(_TICKER, frame).params.data
    ticker = state.ticker
    ticker.bid = data.best_bid_price or None
    ticker.ask = data.best_ask_price or None
    ticker.last = data.last_price or None
    ticker.mark = data.mark_price
    ticker.index = data.index_price
    ticker.funding = data.current_funding
    ticker.open_interest = data.open_interest
    ticker.venue_ms = data.timestamp
    state.touch(DataClass.TICKER, Source.STREAM, now_s)
    return Applied.TICKER


def _apply_trades(frame: bytes, state: MarketState, now_s: float) -> Applied:
    added = False
    for trade in decode(_TRADES, frame).params.data:
        added |= state.trades.add(
            time_ms=trade.timestamp,
            price=trade.price,
            amount=trade.amount,
            taker_side=1 if trade.direction == "buy" else -1,
            trade_seq=trade.trade_seq,
        )
    state.touch(DataClass.TRADES, Source.STREAM, now_s)
    return Applied.TRADES if added else Applied.NOTHING
