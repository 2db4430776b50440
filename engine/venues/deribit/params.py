"""Orders as the venue wants them written."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from engine.model import Instrument, Order, OrderType, TimeInForce, TriggerBy, plain

_TIMES_IN_FORCE = {
    TimeInForce.GTC: "good_til_cancelled",
    TimeInForce.IOC: "immediate_or_cancel",
    TimeInForce.FOK: "fill_or_kill",
}
WAITING_EXIT = "OTO-"  # in the id of an order that waits for another one's fill
_TRIGGERS = {TriggerBy.MARK: "mark_price", TriggerBy.INDEX: "index_price", TriggerBy.LAST: "last_price"}


def place_params(order: Order, instrument: Instrument) -> Mapping[str, Any]:
    """Parameters of `private/buy` and `private/sell`."""
    return {
        "instrument_name": instrument.symbol,
        **order_terms(order),
        "valid_until": order.valid_until_ms,
    }


def order_terms(order: Order) -> dict[str, Any]:
    """What an order says of itself, alone or as a member of a linked set.

    Post-only always comes with `reject_post_only`: the venue would otherwise move the price, and no price is changed silently.
    """
    triggered, trails = order.order_type.has_trigger, follows(order)
    at_market = order.order_type is OrderType.STOP_MARKET or trails
    return {
        "amount": number(order.amount),
        "type": "trailing_stop" if trails else order.order_type.value,
        "price": number(order.price),
        "label": order.client_order_id,
        "time_in_force": None if at_market else _TIMES_IN_FORCE[order.time_in_force],
        "post_only": order.post_only or None,
        "reject_post_only": order.post_only or None,
        "reduce_only": order.reduce_only or None,
        "trigger": _TRIGGERS[order.trigger_by] if triggered else None,
        "trigger_price": number(order.trigger_price),
        **_trail_terms(order),
    }


def follows(order: Order) -> bool:
    """Whether the venue is to follow the price for it: the trail of one that is followed here is met before it leaves."""
    return order.trail is not None and order.met_at_ms is None


def _trail_terms(order: Order) -> dict[str, Any]:
    if order.trail is None or not follows(order):
        return {}
    return {"trigger": _TRIGGERS[order.trail.by], "trigger_offset": number(order.trail.distance)}


def edit_params(order: Order) -> Mapping[str, Any]:
    """Parameters of `private/edit`. The flags are always spelled out: their documented defaults differ from page to page. An exit
    that waits for its entry keeps those it has; the venue takes no post-only for it then."""
    if order.amend is None:
        raise ValueError(f"{order.order_id}: expected an order with an amendment, got none")
    return {
        "order_id": order.venue_order_id,
        "amount": number(order.amend.amount),
        "price": number(order.amend.price),
        **({} if WAITING_EXIT in order.venue_order_id else _flags(order)),
        "trigger_price": number(order.trigger_price) if not order.triggered else None,
        "valid_until": order.amend.valid_until_ms,
    }


def _flags(order: Order) -> Mapping[str, Any]:
    return {
        "post_only": order.post_only,
        "reject_post_only": order.post_only,
        "reduce_only": order.reduce_only,
    }


def number(value: Decimal | None) -> msgspec.Raw | None:
    """A JSON number with exactly the digits of `value`."""
    return None if value is None else msgspec.Raw(plain(value).encode())
