"""All orders of a symbol, and those by which the venue liquidated."""

from typing import Any

from engine.simulator.binance_usdm.endpoint import by_symbol
from engine.simulator.binance_usdm.params import count, number
from engine.simulator.binance_usdm.trading.calls import Ask, private
from engine.simulator.binance_usdm.trading.reading import one_of, week
from engine.simulator.binance_usdm.trading.rows import force_row, queried_row

__all__: list[str] = []

_HAPPEN_HERE = {"LIQUIDATION": True, "ADL": False}


@private("GET", "/fapi/v1/allOrders", weight=5)
def all_orders(ask: Ask) -> Any:
    """From a number on, or of a week at most; the newest if there are more than asked for. Oldest first."""
    desk, limit, first = ask.desk, count(ask.params, default=500, most=1000), number(ask.params, "orderId")
    start_ms, end_ms = week(ask.params, ask.now_ms)
    listed = (
        order
        for order in ask.holder.account.orders.values()
        if order.instrument == desk.symbol and ask.side.is_listed(order)
    )
    if first is not None:
        orders = [order for order in listed if int(order.order_id) >= first][:limit]
    else:
        orders = [order for order in listed if start_ms <= order.created_ms <= end_ms][-limit:]
    return [queried_row(desk, order) for order in orders]


@private("GET", "/fapi/v1/forceOrders", weight=by_symbol(20, 50))
def force_orders(ask: Ask) -> Any:
    only, limit = ask.desk_if_given, count(ask.params, default=50, most=100)
    happens = one_of(ask.params, "autoCloseType", _HAPPEN_HERE, "LIQUIDATION")
    start_ms, end_ms = week(ask.params, ask.now_ms)
    orders = [
        order
        for order in ask.holder.account.orders.values()
        if happens
        and order.is_liquidation
        and (only is None or order.instrument == only.symbol)
        and start_ms <= order.created_ms <= end_ms
    ]
    return [force_row(ask.side.desks[order.instrument], order) for order in orders[-limit:]]
