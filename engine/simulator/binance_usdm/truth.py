"""What is really so about a symbol, for drills to compare a client's view with."""

from typing import Any

import msgspec

from engine.simulator.binance_usdm.desk import Desk
from engine.simulator.binance_usdm.intervals import INTERVALS
from engine.simulator.binance_usdm.market_queries import agg_row, kline_row
from engine.simulator.binance_usdm.price_queries import mark_row, spot_price
from engine.simulator.binance_usdm.statistics_queries import interest_row

__all__ = ["truth_of"]

LEVELS = 1_000
AGG_TRADES = 1_000
INTEREST_ROWS = 100


def truth_of(desk: Desk, now_ms: int) -> dict[str, Any]:
    """`book` best first; `bars` by interval, ended ones since the venue began and the open one, as klines rows."""
    desk.candles.roll(now_ms)
    depth = desk.depth
    return {
        "symbol": desk.symbol,
        "time": now_ms,
        "book": {
            "lastUpdateId": depth.update_id,
            "bids": msgspec.json.decode(depth.bids.top(LEVELS)),
            "asks": msgspec.json.decode(depth.asks.top(LEVELS)),
        },
        "bars": {
            name: {
                "closed": [kline_row(desk, interval, bar) for bar in desk.candles.closed(interval)],
                "open": kline_row(desk, interval, desk.candles.open_bar(interval)),
            }
            for name, interval in INTERVALS.items()
        },
        "agg_trades": [agg_row(desk, row) for row in desk.prints.last(AGG_TRADES)],
        "mark": mark_row(desk, now_ms),
        "open_interest": desk.amount(desk.interest.steps),
        "open_interest_hist": [
            interest_row(desk, row) for row in desk.interest.select("5m", now_ms, None, None, INTEREST_ROWS)
        ],
        "spot_price": spot_price(desk),
        "force_orders": [
            {
                "side": forced.side,
                "price": str(forced.price),
                "average": str(forced.average),
                "quantity": str(forced.amount),
                "filled": str(forced.filled),
                "time": forced.at_ms,
            }
            for forced in desk.forced
        ],
    }
