"""Orders as the venue wants them written."""

from collections.abc import Callable
from decimal import Decimal

from engine.model import Instrument, Order, OrderType, Side, TimeInForce, Trail, TriggerBy, on_grid, plain
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
_LEAST_CALLBACK, _MOST_CALLBACK, _CALLBACK_STEP = Decimal("0.1"), Decimal(10), Decimal("0.1")  # per cent


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


def follows(order: Order) -> bool:
    """Whether the venue is to follow the price for it: the trail of one that is followed here is met before it leaves."""
    return order.trail is not None and order.met_at_ms is None


def waits_here(order: Order) -> bool:
    """Whether it lives among the venue's conditional orders before it is an order."""
    return order.order_type.has_trigger or follows(order)


def why_not_trail(order: Order, instrument: Instrument) -> str:
    """See `engine.venues.base.Venue.why_not_native`. The venue documents a callback of 0.1 to 10 per cent and no step:
    tenths are what its own example and its screens have."""
    trail = order.trail
    if trail is None:
        return "it has no trail"
    if order.conditions or order.any_of:
        return "it waits for conditions of its own"
    if order.order_type is not OrderType.MARKET:
        return f"this venue's trailing stops end in a market order, not in a {order.order_type} order"
    if trail.by not in _TRIGGERS:
        return f"this venue follows {' or '.join(_TRIGGERS)} prices, not {trail.by}"
    return _why_not_callback(trail.percent) or _why_not_activation(trail, instrument)


def _why_not_callback(percent: Decimal | None) -> str:
    if percent is None:
        return "this venue follows a price at a percentage, not at a distance"
    if not _LEAST_CALLBACK <= percent <= _MOST_CALLBACK or not on_grid(percent, _CALLBACK_STEP):
        return f"this venue follows at 0.1 to 10 per cent in tenths, not at {plain(percent)}"
    return ""


def _why_not_activation(trail: Trail, instrument: Instrument) -> str:
    price = trail.activation_price
    if price is None or on_grid(price, instrument.tick_at(price)):
        return ""
    return f"this venue's prices are multiples of the tick {plain(instrument.tick_at(price))}"


def _trail_params(order: Order, trail: Trail, instrument: Instrument) -> Params:
    why = why_not_trail(order, instrument)
    if why or trail.percent is None:
        raise Refused(f"trail: {why}")
    return {
        "type": "TRAILING_STOP_MARKET",
        "callbackRate": plain(trail.percent),
        "activatePrice": None if trail.activation_price is None else plain(trail.activation_price),
        "workingType": _TRIGGERS[trail.by],
    }


def algo_params(order: Order, instrument: Instrument) -> Callable[[bool], Params]:
    """Parameters of `POST /fapi/v1/algoOrder`. `Refused` for a trigger or a trail this venue does not have."""
    params: Params = {
        "algoType": "CONDITIONAL",
        "symbol": instrument.symbol,
        "side": order.side.upper(),
        "quantity": plain(order.amount),
        "clientAlgoId": order.client_order_id,
    }
    if order.trail is not None and follows(order):
        params = {**params, **_trail_params(order, order.trail, instrument)}
    else:
        params = {**params, **_stop_params(order)}
    return lambda hedge: {**params, **_sided(order, hedge=hedge)}


def _stop_params(order: Order) -> Params:
    if order.trigger_by not in _TRIGGERS or order.trigger_price is None:
        raise Refused(f"trigger_by: expected one of {', '.join(_TRIGGERS)} at this venue, got {order.trigger_by}")
    limit = order.order_type is OrderType.STOP_LIMIT
    return {
        "type": _TYPES[order.order_type],
        "timeInForce": _time_in_force(order) if limit else None,
        "price": None if order.price is None else plain(order.price),
        "triggerPrice": plain(order.trigger_price),
        "workingType": _TRIGGERS[order.trigger_by],
    }


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
