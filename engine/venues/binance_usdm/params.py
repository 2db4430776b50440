"""Orders as the venue wants them written."""

from collections.abc import Callable

from engine.model import Instrument, Order, OrderType, Side, TimeInForce, TriggerBy, plain
from engine.venues.base import Refused
from engine.venues.binance_usdm.signed import Params

_TIMES_IN_FORCE = {TimeInForce.GTC: "GTC", TimeInForce.IOC: "IOC", TimeInForce.FOK: "FOK"}
_POST_ONLY = "GTX"
_TYPES = {
    OrderType.LIMIT: "LIMIT",
    OrderType.MARKET: "MARKET",
    OrderType.STOP_LIMIT: "STOP",
    OrderType.STOP_MARKET: "STOP_MARKET",
}
_TRIGGERS = {TriggerBy.MARK: "MARK_PRICE", TriggerBy.LAST: "CONTRACT_PRICE"}


def order_params(order: Order, instrument: Instrument) -> Callable[[bool], Params]:
    """Parameters of `POST /fapi/v1/order`, by whether the account is in hedge mode."""
    limit = order.order_type is OrderType.LIMIT
    params: Params = {
        "symbol": instrument.symbol,
        "side": order.side.upper(),
        "type": _TYPES[order.order_type],
        "timeInForce": _time_in_force(order) if limit else None,
        "quantity": plain(order.amount),
        "price": None if order.price is None else plain(order.price),
        "newClientOrderId": order.client_order_id,
        "newOrderRespType": "RESULT",
    }
    return lambda hedge: {**params, **_sided(order, hedge=hedge)}


def algo_params(order: Order, instrument: Instrument) -> Callable[[bool], Params]:
    """Parameters of `POST /fapi/v1/algoOrder`. `Refused` for a trigger this venue does not have."""
    if order.trigger_by not in _TRIGGERS or order.trigger_price is None:
        raise Refused(f"trigger_by: expected one of {', '.join(_TRIGGERS)} at this venue, got {order.trigger_by}")
    limit = order.order_type is OrderType.STOP_LIMIT
    params: Params = {
        "algoType": "CONDITIONAL",
        "symbol": instrument.symbol,
        "side": order.side.upper(),
        "type": _TYPES[order.order_type],
        "timeInForce": _time_in_force(order) if limit else None,
        "quantity": plain(order.amount),
        "price": None if order.price is None else plain(order.price),
        "triggerPrice": plain(order.trigger_price),
        "workingType": _TRIGGERS[order.trigger_by],
        "clientAlgoId": order.client_order_id,
    }
    return lambda hedge: {**params, **_sided(order, hedge=hedge)}


def amend_params(order: Order, instrument: Instrument) -> Params:
    """Parameters of `PUT /fapi/v1/order`: absolute values. `Refused` for what the venue cannot change."""
    limit = order.order_type is OrderType.LIMIT or (order.order_type is OrderType.STOP_LIMIT and order.triggered)
    if order.amend is None:
        raise ValueError(f"{order.order_id}: expected an order with an amendment, got none")
    if not limit or order.amend.price is None:
        kind = f"{order.order_type} order" + (", not triggered" if order.order_type.has_trigger else "")
        raise Refused(
            f"amend: expected a limit order, got a {kind}: this venue changes no other; cancel and place anew"
        )
    return {
        "symbol": instrument.symbol,
        "side": order.side.upper(),
        **_name(order),
        "quantity": plain(order.amend.amount),
        "price": plain(order.amend.price),
    }


def cancel_params(order: Order, instrument: Instrument) -> Params:
    return {"symbol": instrument.symbol, **_name(order)}


def _name(order: Order) -> Params:
    """By the venue's id if it is known."""
    if order.venue_order_id:
        return {"orderId": order.venue_order_id}
    return {"origClientOrderId": order.client_order_id}


def _time_in_force(order: Order) -> str:
    return _POST_ONLY if order.post_only else _TIMES_IN_FORCE[order.time_in_force]


def _sided(order: Order, *, hedge: bool) -> Params:
    """In hedge mode a reduce-only order closes the opposite position, any other opens its own."""
    if not hedge:
        return {"reduceOnly": "true" if order.reduce_only else None}
    opens_long = (order.side is Side.BUY) != order.reduce_only
    return {"positionSide": "LONG" if opens_long else "SHORT"}
