"""Market data as plain values: what `market.get` answers and what market events carry."""

from collections.abc import Sequence
from typing import Any

from engine.model import BAR_COLUMNS, MarketState


def book_view(state: MarketState, depth: int) -> dict[str, Any]:
    """The best `depth` levels of each side; a book that is not ready has none."""
    book = state.book
    return {
        "instrument": state.instrument,
        "ready": book.ready,
        "bids": book.bids(depth),
        "asks": book.asks(depth),
        "change_id": book.change_id,
        "venue_ms": book.venue_ms,
    }


def bar_row(row: Sequence[float]) -> dict[str, float | int]:
    named: dict[str, float | int] = dict(zip(BAR_COLUMNS, map(float, row), strict=True))
    return named | {"open_ms": int(row[0])}


def trade_row(row: Sequence[float]) -> dict[str, Any]:
    time_ms, price, amount, taker_side, trade_seq = (float(value) for value in row)
    side = "buy" if taker_side > 0 else "sell"
    return {"time_ms": int(time_ms), "price": price, "amount": amount, "side": side, "trade_seq": int(trade_seq)}


def market_view(state: MarketState, depth: int, bars: int, now_s: float) -> dict[str, Any]:
    """Everything known of one market, with source, age and stale flag of each class."""
    ticker = state.ticker
    return {
        "summary": state.summary(now_s),
        "book": book_view(state, depth),
        "ticker": {name: getattr(ticker, name) for name in type(ticker).__slots__},
        "bars": {interval: [bar_row(row) for row in kept.view(bars)] for interval, kept in state.bars.items()},
    }
