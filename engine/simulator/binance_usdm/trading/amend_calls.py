"""Changing orders, and what was changed."""

from decimal import Decimal
from typing import Any

from engine.simulator.amending import Amendment
from engine.simulator.binance_usdm.desk import Desk
from engine.simulator.binance_usdm.errors import ApiError
from engine.simulator.binance_usdm.params import count, number, span
from engine.simulator.binance_usdm.trading.calls import Ask, private
from engine.simulator.binance_usdm.trading.filters import check_notional, check_price, check_quantity
from engine.simulator.binance_usdm.trading.order_calls import sent_order
from engine.simulator.binance_usdm.trading.placing import SIDES, matched_price, price_match
from engine.simulator.binance_usdm.trading.reading import needed, one_of
from engine.simulator.binance_usdm.trading.refusals import no_such_order, refused
from engine.simulator.binance_usdm.trading.rows import order_row, written
from engine.simulator.binance_usdm.trading.terms import Change, terms_of
from engine.simulator.orders import Order
from engine.simulator.refusal import Reason, Refusal

__all__ = ["amend_order"]

MAX_CHANGES = 10_000


@private("PUT", "/fapi/v1/order", weight=0, orders=(1, 1))
def amend_order(ask: Ask) -> Any:
    """A new price and quantity for a resting limit order, which goes to the end of its queue. One whose quantity is filled
    already, or that may only rest and would trade, is cancelled."""
    desk = ask.desk
    side = one_of(ask.params, "side", SIDES, error=ApiError(400, -1117, "Invalid side."))
    quantity, match = needed(ask.params, "quantity"), price_match(ask)
    price = needed(ask.params, "price") if match == "NONE" else matched_price(desk, side, match)
    order = sent_order(ask)
    if order is None or not order.is_live or order.side is not side:
        raise no_such_order()
    _check(desk, order, quantity, price)
    before = (order.price, order.amount)
    assert before[0] is not None, "a resting order has a price"
    terms = terms_of(order)
    change_id = ask.side.next_change_id()
    try:
        ask.side.exchange.amend(order, Amendment(amount=quantity, price=price, requeue=True))
    except Refusal as refusal:
        if refusal.reason is Reason.BELOW_FILLED:
            ask.side.exchange.cancel(order, "amended_below_filled")
        elif order.is_live:
            raise refused(refusal) from refusal
    else:
        change = Change(change_id, ask.now_ms, (before[0], price), (before[1], quantity))
        terms.changes.append(change)
        terms.amended, terms.price_match = True, match
    return order_row(desk, order) | {"modifyId": change_id}


def _check(desk: Desk, order: Order, quantity: Decimal, price: Decimal) -> None:
    check_price(desk, price)
    check_quantity(desk, quantity, market=False)
    if not order.reduce_only:
        check_notional(desk, quantity, price)
    if (order.price, order.amount) == (price, quantity):
        raise ApiError(400, -5027, "No need to modify the order.")
    if len(terms_of(order).changes) >= MAX_CHANGES:
        raise ApiError(400, -5026, "Exceed maximum modify order limit.")


@private("GET", "/fapi/v1/orderAmendment")
def amendments(ask: Ask) -> Any:
    """Newest first."""
    desk, limit = ask.desk, count(ask.params, default=50, most=100)
    start_ms, end_ms = span(ask.params)
    if number(ask.params, "orderId") is None and "origClientOrderId" not in ask.params:
        orders = [order for order in ask.holder.account.orders.values() if order.instrument == desk.symbol]
    else:
        sent = sent_order(ask)
        orders = [] if sent is None else [sent]
    rows = [
        _row(desk, order, number_of, change)
        for order in orders
        for number_of, change in enumerate(terms_of(order).changes, start=1)
        if (start_ms is None or change.at_ms >= start_ms) and (end_ms is None or change.at_ms <= end_ms)
    ]
    return sorted(rows, key=lambda row: row["amendmentId"], reverse=True)[:limit]


def _row(desk: Desk, order: Order, number_of: int, change: Change) -> dict[str, Any]:
    prices = [written(price, desk.price_decimals) for price in change.price]
    quantities = [written(quantity, desk.amount_decimals) for quantity in change.quantity]
    return {
        "amendmentId": change.change_id,
        "symbol": desk.symbol,
        "pair": desk.symbol,
        "orderId": int(order.order_id),
        "clientOrderId": terms_of(order).client_id,
        "time": change.at_ms,
        "amendment": {
            "price": {"before": prices[0], "after": prices[1]},
            "origQty": {"before": quantities[0], "after": quantities[1]},
            "count": number_of,
        },
    }
