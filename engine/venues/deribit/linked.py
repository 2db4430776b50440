"""Sets of orders that the venue links itself: one request for the first of them, with the others in its `otoco_config`.

An exit waits under an id of its own (`OTO-…`) and with our label. When its entry is filled it becomes another order with
another id and the same label, and the first id is no order any more: so the label is what an exit is known by. One word,
`trigger_fill_condition`, says both when exits are placed and when one of two ends the other:

* `first_hit`: any fill places all of them, and any fill of one cancels the other;
* `complete_fill`: only a complete one does; the exits of an entry that is cancelled before end with it, whatever was filled;
* `incremental`: each fill adds its part to the exits, or takes it from the other.

A condition that is met counts as a fill. How an exit is named that was filled whole before its entry adds to it again the
venue does not say, so an entry that may rest is not sent with `incremental`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from engine.model import Instrument, LinkKind, Order, OrderType, TimeInForce, TriggerFill, on_grid, plain
from engine.venues.deribit.params import order_terms, place_params

MOST_EXITS = 5
_FIRST, _WHOLE, _PARTS = TriggerFill.FIRST_HIT, TriggerFill.COMPLETE_FILL, TriggerFill.INCREMENTAL
_WAITS = "it waits for conditions of its own"
_BRACKETS = {(_FIRST, _FIRST): _FIRST, (_WHOLE, _WHOLE): _WHOLE, (_PARTS, _WHOLE): _PARTS}


def linked_params(orders: Sequence[Order], instruments: Sequence[Instrument]) -> Mapping[str, Any]:
    """Parameters of `private/buy` and `private/sell`, by the side of the first order. The set is one the venue can do."""
    first, *others = orders
    condition = _condition(first)
    if first.link is None or condition is None:
        raise ValueError(f"{first.order_id}: expected the first of a set that the venue can do, got another order")
    return {
        **place_params(first, instruments[0]),
        "linked_order_type": first.link.kind.value,
        "trigger_fill_condition": condition.value,
        "otoco_config": [_member(order) for order in others],
    }


def _member(order: Order) -> Mapping[str, Any]:
    terms = {"direction": order.side.value, **order_terms(order)}
    return {name: value for name, value in terms.items() if value is not None}


def why_not_linked(orders: Sequence[Order], instruments: Sequence[Instrument]) -> str:
    """See `engine.venues.base.Venue.why_not_linked`."""
    link = orders[0].link if orders else None
    if link is None:
        return "the first order has no link"
    if any(instrument != instruments[0] for instrument in instruments):
        return "all of a set must be of one instrument at this venue"
    return (
        _why_not_number(link.kind, len(orders))
        or _why_not_condition(orders[0])
        or _why_not_members(orders, instruments[0])
    )


def _why_not_number(kind: LinkKind, count: int) -> str:
    least, most = {LinkKind.OCO: (2, 2), LinkKind.OTO: (2, 1 + MOST_EXITS), LinkKind.OTOCO: (3, 3)}[kind]
    if least <= count <= most:
        return ""
    wanted = f"{least}" if least == most else f"{least} to {most}"
    return f"this venue links {wanted} orders as {kind}, and these are {count}"


def _why_not_condition(first: Order) -> str:
    condition = _condition(first)
    if condition is None:
        return "this venue has one condition for placing exits and for cancelling one of them"
    if condition is _PARTS and first.link is not None and first.link.exits and _may_rest(first):
        return "this venue does not say what becomes of exits that are placed in parts while their entry rests"
    return ""


def _condition(first: Order) -> TriggerFill | None:
    link = first.link
    if link is None:
        return None
    if link.kind is LinkKind.OTOCO:
        return _BRACKETS.get((link.releases_at, link.cancels_at))
    return link.releases_at if link.kind is LinkKind.OTO else link.cancels_at


def _may_rest(order: Order) -> bool:
    return order.order_type.has_price and order.time_in_force is TimeInForce.GTC


def _why_not_members(orders: Sequence[Order], instrument: Instrument) -> str:
    for order in orders:
        why = _WAITS if order.conditions or order.any_of else ""
        if order.trail is not None:
            why = why_not_trail(order, instrument)
        if why:
            return f"{order.order_id}: {why}"
    return ""


def why_not_trail(order: Order, instrument: Instrument) -> str:
    """See `engine.venues.base.Venue.why_not_native`."""
    trail = order.trail
    if trail is None:
        return "it has no trail"
    if order.conditions or order.any_of:
        return _WAITS
    if order.order_type is not OrderType.MARKET:
        return f"this venue's trailing stops end in a market order, not in a {order.order_type} order"
    if trail.distance is None:
        return "this venue follows a price at a distance, not at a percentage"
    if not on_grid(trail.distance, instrument.tick_size):
        return f"this venue's distances are multiples of the tick {plain(instrument.tick_size)}"
    if trail.activation_price is not None:
        return "this venue follows a price from the start, not from another price on"
    return ""
