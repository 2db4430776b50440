"""Figures of a symbol over its last day, as queries and streams show them."""

from typing import Any

from engine.simulator.binance_usdm.desk import Desk
from engine.simulator.binance_usdm.intervals import DAY_MS, MINUTE_MS

__all__ = ["day_figures"]


def day_figures(desk: Desk, now_ms: int) -> dict[str, Any]:
    """One row of /fapi/v1/ticker/24hr."""
    day, last = desk.day.bar(), desk.last_print
    last_id = last.trade_id if last is not None else desk.first_trade_id - 1
    average = day.quote // day.volume if day.volume else day.close
    return {
        "symbol": desk.symbol,
        "priceChange": desk.price(day.close - day.open),
        "priceChangePercent": f"{(day.close / day.open - 1.0) * 100:.3f}",
        "weightedAvgPrice": desk.price(average),
        "lastPrice": desk.price(day.close),
        "lastQty": desk.amount(last.amount if last is not None else 0),
        "openPrice": desk.price(day.open),
        "highPrice": desk.price(day.high),
        "lowPrice": desk.price(day.low),
        "volume": desk.amount(day.volume),
        "quoteVolume": desk.quote(day.quote),
        "openTime": now_ms - now_ms % MINUTE_MS - DAY_MS + MINUTE_MS,
        "closeTime": last.at_ms if last is not None else now_ms,
        "firstId": last_id - day.trades + 1,
        "lastId": last_id,
        "count": day.trades,
    }
