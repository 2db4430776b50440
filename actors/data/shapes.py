"""Columns as the rows callers expect: Binance's bars of twelve fields, the trades and records of the interface."""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from engine.model import Columns, Samples

#: [open_time, open, high, low, close, volume, close_time, quote_volume, trades, taker_base, taker_quote, 0]; times in ms.
#: The four figures after close_time are None where the venue does not say them.
KlineRow: TypeAlias = list[float | int | None]
KLINE_FIELDS = 12


def kline_rows(bars: Columns, interval_ms: int) -> list[KlineRow]:
    """Rows of `BAR_COLUMNS` as bars of twelve fields. A bar's close_time is the last millisecond that belongs to it."""
    last_ms = interval_ms - 1
    return [
        [int(at), o, h, lo, c, v, int(at) + last_ms, _said(cost), _count(n), _said(taker), _said(taker_cost), 0]
        for at, o, h, lo, c, v, cost, n, taker, taker_cost in bars.tolist()
    ]


def _said(figure: float) -> float | None:
    return figure if figure == figure else None


def _count(figure: float) -> int | None:
    return int(figure) if figure == figure else None


def trade_rows(trades: Columns) -> list[dict[str, Any]]:
    """Trades as `{price, qty, time, isBuyerMaker}`, oldest first: the buyer was the maker where a seller took."""
    return [
        {"price": price, "qty": amount, "time": int(time_ms), "isBuyerMaker": side < 0}
        for time_ms, price, amount, side, _ in trades.tolist()
    ]


def numbered_trade_rows(trades: Columns) -> list[dict[str, Any]]:
    """The same with the venue's number of each trade as `id`."""
    return [{"id": int(row[4]), **shown} for row, shown in zip(trades.tolist(), trade_rows(trades), strict=True)]


def forced_rows(forced: Columns) -> list[dict[str, Any]]:
    """Liquidations as `{side, price, averagePrice, qty, filledQty, time}`; `side` is that of the forced order."""
    return [
        {
            "side": "BUY" if side > 0 else "SELL",
            "price": price,
            "averagePrice": _said(average),
            "qty": amount,
            "filledQty": _said(filled),
            "time": int(time_ms),
        }
        for time_ms, price, average, amount, filled, side in forced.tolist()
    ]


def oi_rows(samples: Samples, limit: int) -> list[dict[str, Any]]:
    """Open interest as `{timestamp, sumOpenInterest, sumOpenInterestValue}`, oldest first."""
    pick = columns_of(samples, ("time_ms", "sum_open_interest", "sum_open_interest_value"))
    return [
        {"timestamp": int(at), "sumOpenInterest": amount, "sumOpenInterestValue": _said(value)}
        for at, amount, value in map(pick, samples.view(limit).tolist())
    ]


def columns_of(samples: Samples, names: Sequence[str]) -> Callable[[Sequence[float]], list[float]]:
    """A function that takes the named columns out of a row; NaN for one the source does not have."""
    places = [samples.columns.index(name) if name in samples.columns else None for name in names]
    return lambda row: [math.nan if place is None else row[place] for place in places]
