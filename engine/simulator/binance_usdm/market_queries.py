"""Books, trades and bars."""

from typing import Any

from engine.simulator.binance_usdm.candle import Candle
from engine.simulator.binance_usdm.desk import Desk
from engine.simulator.binance_usdm.endpoint import Query, by_limit, endpoint
from engine.simulator.binance_usdm.errors import ApiError, bad_combination
from engine.simulator.binance_usdm.intervals import HOUR_MS, INTERVALS, Interval
from engine.simulator.binance_usdm.params import count, interval, number, span
from engine.simulator.binance_usdm.prints import AggTrade, Print

__all__ = ["agg_row", "kline_row"]

DEPTH_LIMITS = (5, 10, 20, 50, 100, 500, 1000)
AGG_MEMORY_MS = 48 * HOUR_MS


@endpoint("/fapi/v1/depth", weight=by_limit([(50, 2), (100, 5), (500, 10), (1000, 20)], 500))
def depth(query: Query) -> Any:
    desk = query.desk
    limit = number(query.params, "limit")
    if limit is None:
        limit = 500
    if limit not in DEPTH_LIMITS:
        raise ApiError(400, -4021, f"'{limit}' is not valid depth limit")
    book = desk.depth
    return {
        "lastUpdateId": book.update_id,
        "E": query.now_ms,
        "T": book.changed_ms,
        "bids": book.bids.top(limit),
        "asks": book.asks.top(limit),
    }


@endpoint("/fapi/v1/klines", weight=by_limit([(99, 1), (499, 2), (1000, 5), (1500, 10)], 500))
def klines(query: Query) -> Any:
    desk = query.desk
    length = INTERVALS[interval(query.params, INTERVALS)]
    start_ms, end_ms = span(query.params)
    limit = count(query.params, default=500, most=1500)
    desk.candles.roll(query.now_ms)
    return [kline_row(desk, length, bar) for bar in desk.candles.select(length, start_ms, end_ms, limit)]


def kline_row(desk: Desk, length: Interval, bar: Candle) -> list[Any]:
    return [
        bar.start_ms,
        desk.price(bar.open),
        desk.price(bar.high),
        desk.price(bar.low),
        desk.price(bar.close),
        desk.amount(bar.volume),
        length.after(bar.start_ms) - 1,
        desk.quote(bar.quote),
        bar.trades,
        desk.amount(bar.taker),
        desk.quote(bar.taker_quote),
        "0",
    ]


@endpoint("/fapi/v1/aggTrades", weight=20)
def agg_trades(query: Query) -> Any:
    desk = query.desk
    limit = count(query.params, default=500, most=1000)
    from_id = number(query.params, "fromId")
    start_ms, end_ms = span(query.params)
    if from_id is not None:
        if start_ms is not None or end_ms is not None:
            raise bad_combination()
        rows = desk.prints.from_id(from_id, limit)
    elif start_ms is None and end_ms is None:
        rows = desk.prints.last(limit)
    else:
        rows = _agg_span(desk, start_ms, end_ms, limit)
    return [agg_row(desk, row) for row in rows if row.at_ms >= query.now_ms - AGG_MEMORY_MS]


def _agg_span(desk: Desk, start_ms: int | None, end_ms: int | None, limit: int) -> list[AggTrade]:
    """Within an hour of the time that was given, or between both."""
    if start_ms is not None and end_ms is not None and end_ms - start_ms >= HOUR_MS:
        raise ApiError(400, -1127, "Lookup interval is too big. More than 1 hours between startTime and endTime.")
    if start_ms is None:
        assert end_ms is not None, "one of both is given"
        start_ms = end_ms - HOUR_MS
    if end_ms is None:
        end_ms = start_ms + HOUR_MS
    return desk.prints.between(start_ms, end_ms, limit)


def agg_row(desk: Desk, row: AggTrade) -> dict[str, Any]:
    return {
        "a": row.agg_id,
        "p": desk.price(row.price),
        "q": desk.amount(row.amount),
        "nq": desk.amount(row.amount),
        "f": row.first_id,
        "l": row.last_id,
        "T": row.at_ms,
        "m": not row.buyer_takes,
    }


@endpoint("/fapi/v1/trades", weight=5)
def trades(query: Query) -> Any:
    desk = query.desk
    limit = count(query.params, default=500, most=1000)
    return [_trade_row(desk, row) for row in desk.prints.singles(limit)]


def _trade_row(desk: Desk, row: Print) -> dict[str, Any]:
    return {
        "id": row.trade_id,
        "price": desk.price(row.price),
        "qty": desk.amount(row.amount),
        "quoteQty": desk.quote(row.price * row.amount),
        "time": row.at_ms,
        "isBuyerMaker": not row.buyer_takes,
        "isRPITrade": False,
    }
