"""Prices: marks, the last day, the last trade, the best of the book, and the spot market's."""

from collections.abc import Callable
from typing import Any

import msgspec

from engine.simulator.binance_usdm.desk import Desk
from engine.simulator.binance_usdm.endpoint import Query, by_symbol, endpoint
from engine.simulator.binance_usdm.errors import bad_combination, illegal
from engine.simulator.binance_usdm.params import listed, symbol
from engine.simulator.binance_usdm.tickers import day_figures

__all__ = ["mark_row", "spot_price"]

INTEREST_RATE = "0.00010000"


def _one_or_all(query: Query, row: Callable[[Desk], dict[str, Any]]) -> Any:
    if "symbol" in query.params:
        return row(query.desk)
    return [row(desk) for desk in query.desks.values()]


@endpoint("/fapi/v1/premiumIndex", weight=by_symbol(1, 10))
def premium_index(query: Query) -> Any:
    return _one_or_all(query, lambda desk: mark_row(desk, query.now_ms))


def mark_row(desk: Desk, now_ms: int) -> dict[str, Any]:
    desk.funding.roll(now_ms)
    mark = str(desk.market.mark)
    return {
        "symbol": desk.symbol,
        "markPrice": mark,
        "indexPrice": str(desk.market.index),
        "estimatedSettlePrice": mark,
        "lastFundingRate": f"{desk.funding.rate:.8f}",
        "interestRate": INTEREST_RATE,
        "nextFundingTime": desk.funding.next_ms,
        "time": now_ms,
    }


@endpoint("/fapi/v1/ticker/24hr", weight=by_symbol(1, 40))
def ticker_24h(query: Query) -> Any:
    return _one_or_all(query, lambda desk: _day_row(desk, query.now_ms))


def _day_row(desk: Desk, now_ms: int) -> dict[str, Any]:
    desk.candles.roll(now_ms)
    return day_figures(desk, now_ms)


@endpoint("/fapi/v1/ticker/price", "/fapi/v2/ticker/price", weight=by_symbol(1, 2))
def ticker_price(query: Query) -> Any:
    return _one_or_all(query, _price_row)


def _price_row(desk: Desk) -> dict[str, Any]:
    price = desk.price(desk.candles.last)
    return {"symbol": desk.symbol, "price": price, "time": desk.last_ms, "ps": desk.symbol}


@endpoint("/fapi/v1/ticker/bookTicker", weight=by_symbol(2, 5))
def book_ticker(query: Query) -> Any:
    return _one_or_all(query, _book_row)


def _book_row(desk: Desk) -> dict[str, Any]:
    """An empty side shows zeros."""
    bid, ask = (msgspec.json.decode(row) if row is not None else ["0", "0"] for row in desk.depth.best())
    return {
        "symbol": desk.symbol,
        "bidPrice": bid[0],
        "bidQty": bid[1],
        "askPrice": ask[0],
        "askQty": ask[1],
        "time": desk.depth.changed_ms,
        "lastUpdateId": desk.depth.update_id,
    }


@endpoint("/api/v3/ticker/price", weight=by_symbol(2, 4), bucket="spot")
def spot_ticker(query: Query) -> Any:
    """The spot market of the same coins, for one symbol, for a JSON list of them, or for all."""
    known = query.spot
    if "symbols" in query.params:
        if "symbol" in query.params:
            raise bad_combination()
        return [_spot_row(known[listed(name, known, "symbols")]) for name in _names(query.params["symbols"])]
    if "symbol" in query.params:
        return _spot_row(known[symbol(query.params, known)])
    return [_spot_row(desk) for desk in known.values()]


def _names(text: str) -> list[str]:
    try:
        return msgspec.json.decode(text, type=list[str])
    except msgspec.DecodeError:
        raise illegal("symbols", '^\\["[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}\\]$') from None


def _spot_row(desk: Desk) -> dict[str, Any]:
    return {"symbol": desk.spot_symbol, "price": spot_price(desk)}


def spot_price(desk: Desk) -> str:
    """The index in the grid of the symbol, for a single coin."""
    price = desk.market.index.quantize(desk.spec.tick)
    return f"{price if desk.spot_symbol == desk.symbol else price / 1000:.8f}"
