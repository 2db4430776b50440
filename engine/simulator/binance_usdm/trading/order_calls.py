"""Placing, looking at and cancelling single orders."""

from typing import Any

from engine.simulator.binance_usdm.endpoint import by_symbol
from engine.simulator.binance_usdm.errors import missing
from engine.simulator.binance_usdm.params import number
from engine.simulator.binance_usdm.trading.calls import Ask, private
from engine.simulator.binance_usdm.trading.placing import order_spec, place, watch_end
from engine.simulator.binance_usdm.trading.reading import client_id, one_of
from engine.simulator.binance_usdm.trading.refusals import no_such_order, not_cancelled
from engine.simulator.binance_usdm.trading.rows import acked_row, order_row, queried_row
from engine.simulator.orders import Kind, Lifetime, Order

__all__ = ["cancel_order", "find_order", "place_order", "sent_order"]

_WITH_RESULT = {"ACK": False, "RESULT": True}
MAX_COUNTDOWN_MS = 86_400_000 * 365


@private("POST", "/fapi/v1/order", weight=0, orders=(1, 1))
def place_order(ask: Ask) -> Any:
    """The answer shows the order as it was taken; with RESULT, one that does not rest is shown as it ended."""
    with_result = one_of(ask.params, "newOrderRespType", _WITH_RESULT, "ACK")
    desk, spec = order_spec(ask)
    order = place(ask.side.exchange, ask.holder, spec).order
    watch_end(ask.side.exchange, ask.side.timers, order)
    rests = order.kind is Kind.LIMIT and order.lifetime is Lifetime.GOOD_TIL_CANCELLED
    return order_row(desk, order) if with_result and not rests else acked_row(desk, order)


@private("POST", "/fapi/v1/order/test", weight=0)
def test_order(ask: Ask) -> Any:
    """Everything but the order."""
    one_of(ask.params, "newOrderRespType", _WITH_RESULT, "ACK")
    order_spec(ask)
    return {}


@private("DELETE", "/fapi/v1/order")
def cancel_order(ask: Ask) -> Any:
    desk = ask.desk
    order = sent_order(ask)
    if order is None or not order.is_live:
        raise not_cancelled()
    ask.side.exchange.cancel(order)
    return order_row(desk, order)


@private("GET", "/fapi/v1/order")
def get_order(ask: Ask) -> Any:
    desk = ask.desk
    return queried_row(desk, find_order(ask))


@private("GET", "/fapi/v1/openOrder")
def get_open_order(ask: Ask) -> Any:
    desk, order = ask.desk, find_order(ask)
    if not order.is_live:
        raise no_such_order()
    return queried_row(desk, order)


@private("GET", "/fapi/v1/openOrders", weight=by_symbol(1, 40))
def get_open_orders(ask: Ask) -> Any:
    only = ask.desk_if_given
    orders = [order for order in ask.holder.account.live.values() if ask.side.is_listed(order)]
    desks = ask.side.desks
    return [queried_row(desks[o.instrument], o) for o in orders if only is None or o.instrument == only.symbol]


@private("DELETE", "/fapi/v1/allOpenOrders")
def cancel_open_orders(ask: Ask) -> Any:
    _cancel_all(ask, ask.desk.symbol, "user_request")
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


@private("POST", "/fapi/v1/countdownCancelAll", weight=10)
def countdown(ask: Ask) -> Any:
    """All orders of a symbol are cancelled at the end of the countdown, unless it is set anew before."""
    symbol, wait_ms = ask.desk.symbol, _countdown_ms(ask)
    key = ("countdown", ask.holder.name, symbol)
    if wait_ms:
        ask.side.timers.set(key, ask.now_ms + wait_ms, lambda: _cancel_all(ask, symbol, "countdown"))
    else:
        ask.side.timers.clear(key)
    return {"symbol": symbol, "countdownTime": str(wait_ms)}


def _countdown_ms(ask: Ask) -> int:
    wait_ms = number(ask.params, "countdownTime")
    if wait_ms is None:
        raise missing("countdownTime")
    return min(wait_ms, MAX_COUNTDOWN_MS)


def _cancel_all(ask: Ask, symbol: str, reason: str) -> None:
    for order in list(ask.holder.account.live.values()):
        if order.instrument == symbol:
            ask.side.exchange.cancel(order, reason)


def find_order(ask: Ask) -> Order:
    """The order that is asked for, if queries know it. Raises ApiError."""
    order = sent_order(ask)
    if order is None or not ask.side.is_listed(order):
        raise no_such_order()
    return order


def sent_order(ask: Ask) -> Order | None:
    """The order with the number or the client's id that is asked for; of several with the same id the newest."""
    order_id, own_id = number(ask.params, "orderId"), client_id(ask.params, "origClientOrderId")
    if order_id is None and own_id is None:
        raise missing("orderId")
    account, symbol = ask.holder.account, ask.desk.symbol
    if order_id is not None:
        order = account.orders.get(str(order_id))
        return order if order is not None and order.instrument == symbol else None
    assert own_id is not None, "one of them is given"
    return next((order for order in reversed(account.labelled(own_id)) if order.instrument == symbol), None)
