"""What one action did to an account, in the order in which its stream tells it.

First each fill in few words, then orders that are new or were changed, then what fills did to the account, then each fill as
its order's full event, and last the orders that ended without being filled.
"""

from collections.abc import Mapping

from engine.simulator.binance_usdm.desk import Desk
from engine.simulator.binance_usdm.trading.events import (
    Event,
    account_update,
    balance_part,
    lite_event,
    order_event,
    position_part,
    trade_events,
)
from engine.simulator.binance_usdm.trading.holder import Holder
from engine.simulator.binance_usdm.trading.terms import status_of, terms_of
from engine.simulator.orders import Fill, Order

__all__ = ["batch_events"]


def batch_events(
    desks: Mapping[str, Desk], holder: Holder, orders: list[Order], fills: list[Fill], now_ms: int
) -> list[Event]:
    """Orders remember what was told of them."""
    by_order: dict[str, list[Fill]] = {order.order_id: [] for order in orders}
    by_id = {order.order_id: order for order in orders}
    events: list[Event] = []
    for fill in fills:
        order = by_id[fill.order_id]
        by_order[fill.order_id].append(fill)
        events.append(lite_event(desks[order.instrument], order, fill, now_ms))
    for order in orders:
        events += _beginnings(desks[order.instrument], order, by_order[order.order_id], now_ms)
    if fills:
        events.append(_account_event(desks, holder, fills, now_ms))
    for order in orders:
        events += trade_events(desks[order.instrument], order, by_order[order.order_id], now_ms)
        events += _end(desks[order.instrument], order, now_ms)
    return events


def _beginnings(desk: Desk, order: Order, fills: list[Fill], now_ms: int) -> list[Event]:
    terms = terms_of(order)
    events: list[Event] = []
    if not terms.told:
        terms.told = True
        events.append(order_event(desk, order, "NEW", now_ms, fills))
    if terms.amended:
        terms.amended = False
        events.append(order_event(desk, order, "AMENDMENT", now_ms, fills))
    return events


def _end(desk: Desk, order: Order, now_ms: int) -> list[Event]:
    terms, status = terms_of(order), status_of(order)
    if order.is_live or status == "FILLED" or terms.told_end:
        return []
    terms.told_end = True
    return [order_event(desk, order, "CANCELED" if status == "CANCELED" else "EXPIRED", now_ms)]


def _account_event(desks: Mapping[str, Desk], holder: Holder, fills: list[Fill], now_ms: int) -> Event:
    touched = dict.fromkeys((fill.trade.instrument, fill.leg) for fill in fills)
    rows = [position_part(desks[symbol], holder, leg) for symbol, leg in touched]
    return account_update("ORDER", [balance_part(holder)], rows, fills[-1].trade.at_ms, now_ms)
