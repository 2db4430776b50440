"""Queries about orders that are open or were closed not long ago."""

from typing import Any

from engine.simulator.deribit.method import Call, method, takes
from engine.simulator.deribit.orders_by import OPEN_TYPES, find, find_visible, known, select
from engine.simulator.deribit.paging import continue_from
from engine.simulator.deribit.params import CURRENCY, Param, choice, flag, integer, listing, required, text
from engine.simulator.deribit.public_market import KIND, NAME
from engine.simulator.links import Seat
from engine.simulator.margin import position_margin
from engine.simulator.orders import Order, Side, State

READ = "trade:read"
OPEN_TYPE = choice(*OPEN_TYPES, default="all")
TWO_DAYS_MS = 2 * 86_400_000
MAX_IDS = 1000


def _json(call: Call, orders: list[Order]) -> Any:
    return [call.venue.order_json(order) for order in orders]


def _shown(call: Call, orders: list[Order]) -> list[Order]:
    return [order for order in orders if not call.venue.hides(order)]


@method("private/get_order_state", takes(order_id=required(text())), scope=READ)
def get_order_state(call: Call) -> Any:
    return call.venue.order_json(find_visible(call.venue, call.account, call["order_id"]))


@method("private/get_order_state_by_label", takes(currency=required(CURRENCY), label=text(64)), scope=READ)
def get_order_state_by_label(call: Call) -> Any:
    names = {market.instrument.name for market in call.markets()}
    orders = [order for order in call.account.labelled(call["label"] or "") if order.instrument in names]
    return _json(call, _shown(call, [order for order in orders if known(call.venue, order)]))


@method("private/get_open_orders", takes(kind=KIND, type=OPEN_TYPE), scope=READ)
def get_open_orders(call: Call) -> Any:
    return _json(call, _shown(call, select(call.account, call.markets(), call["type"])))


@method(
    "private/get_open_orders_by_currency", takes(currency=required(CURRENCY), kind=KIND, type=OPEN_TYPE), scope=READ
)
def get_open_orders_by_currency(call: Call) -> Any:
    return _json(call, _shown(call, select(call.account, call.markets(), call["type"])))


@method("private/get_open_orders_by_instrument", takes(instrument_name=NAME, type=OPEN_TYPE), scope=READ)
def get_open_orders_by_instrument(call: Call) -> Any:
    return _json(call, _shown(call, select(call.account, [call.market], call["type"])))


@method("private/get_open_orders_by_label", takes(currency=required(CURRENCY), label=text(64)), scope=READ)
def get_open_orders_by_label(call: Call) -> Any:
    label = call["label"] or ""
    orders = [order for order in select(call.account, call.markets()) if order.label == label]
    return _json(call, _shown(call, orders))


HISTORY: dict[str, Param] = {
    "count": integer(1, 1000, default=20),
    "offset": integer(default=0),
    "include_old": flag(),
    "include_unfilled": flag(),
    "historical": flag(),
    "with_continuation": flag(),
    "continuation": text(),
}


@method("private/get_order_history_by_currency", takes(currency=required(CURRENCY), kind=KIND, **HISTORY), scope=READ)
def get_order_history_by_currency(call: Call) -> Any:
    return _history(call, {market.instrument.name for market in call.markets()})


@method("private/get_order_history_by_instrument", takes(instrument_name=NAME, **HISTORY), scope=READ)
def get_order_history_by_instrument(call: Call) -> Any:
    return _history(call, {call.market.instrument.name})


def _history(call: Call, names: set[str]) -> Any:
    """Closed orders, newest first."""
    rows = [order for order in reversed(call.account.orders.values()) if order.instrument in names]
    rows = [order for order in _shown(call, rows) if _in_history(call, order)]
    if call["with_continuation"]:
        page, token = continue_from(rows, call["count"], call["continuation"])
        return {"orders": _json(call, list(page)), "continuation": token}
    return _json(call, rows[call["offset"] : call["offset"] + call["count"]])


def _in_history(call: Call, order: Order) -> bool:
    """The recent store keeps closed orders for a while and at once, the archive for ever and a little late."""
    if order.is_live or order.state is State.TRIGGERED:
        return False
    if not order.filled and not call["include_unfilled"]:
        return False
    age_ms = call.venue.exchange.now_ms - order.updated_ms
    if age_ms > TWO_DAYS_MS and not call["include_old"]:
        return False
    return age_ms >= call.venue.historical_delay_ms if call["historical"] else known(call.venue, order)


@method(
    "private/get_trigger_order_history",
    takes(currency=required(CURRENCY), instrument_name=text(), count=integer(1, 1000, default=20), continuation=text()),
    scope=READ,
)
def get_trigger_order_history(call: Call) -> Any:
    names = {market.instrument.name for market in call.markets()}
    if call["instrument_name"] is not None:
        names &= {call.market.instrument.name}
    rows = [order for order in reversed(call.account.orders.values()) if order.instrument in names]
    rows = [order for order in rows if (order.trigger is not None or order.waits) and not order.is_live]
    page, token = continue_from(rows, call["count"], call["continuation"])
    return {"entries": [_trigger_row(call, order) for order in page], "continuation": token}


def _trigger_row(call: Call, order: Order) -> Any:
    row = call.venue.order_json(order)
    if order.state is State.REJECTED:
        row["order_state"] = f"rejected:{order.reject_reason}"
    row["timestamp"] = order.updated_ms
    row["trigger_order_id"] = order.order_id
    row["order_id"] = _became(call, order)
    return row


def _became(call: Call, order: Order) -> str | None:
    if order.waits:
        return order.seat.order.order_id if isinstance(order.seat, Seat) and order.seat.order is not None else None
    children = [other.order_id for other in call.account.orders.values() if other.trigger_order_id == order.order_id]
    return children[0] if children else None


@method("private/get_order_margin_by_ids", takes(ids=required(listing(MAX_IDS))), scope=READ)
def get_order_margin_by_ids(call: Call) -> Any:
    rows = []
    for order_id in call["ids"]:
        order = find(call.venue, call.account, order_id)
        market = call.venue.exchange.markets[order.instrument]
        buy = order.side is Side.BUY
        zero = order.remaining * 0
        amount = order.remaining if order.state is State.OPEN else zero
        margin = position_margin(market, zero, amount if buy else zero, zero if buy else amount)
        rows.append(
            {
                "order_id": order.order_id,
                "initial_margin": market.instrument.money(margin.orders),
                "initial_margin_currency": market.instrument.settlement,
            }
        )
    return rows
