"""Sets of orders whose venue keeps what binds them: plain functions from such a set to what becomes of it.

Until it leaves, a native set is like any other: its exits wait for their entry. It leaves as a whole, in one request, and from
then on what the venue says of each order is all there is to know; no exit waits here any more. When the request was certainly
not carried out, all of it waits again.
"""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from engine.model.money import ZERO
from engine.model.orders.linked import ends_rivals, protects, stands_in
from engine.model.orders.linking import ExitPolicy, Link, LinkedRequest
from engine.model.orders.order import MAX_TEXT, Order, OrderState, to_rejected, to_submitting, to_waiting
from engine.model.orders.requests import OrderRequest
from engine.model.terms import TriggerFill

#: Why a venue ends an order by itself when another of its set is over (Deribit's `cancel_reason`).
ENDED_BY_LINK = ("oco_other_closed", "oto_primary_closed")


def is_native(order: Order) -> bool:
    """Whether the venue keeps what binds its set, or will once the set has left."""
    return order.link is not None and order.link.native


def ends_here(order: Order, rival: Order) -> bool:
    """Whether `rival` is to be cancelled by us for what was filled of `order`: unless the venue keeps both, nobody else does.

    What closes for a failed exit does not end by this: a part that was taken leaves the rest unprotected (`still_open`).
    """
    if stands_in(rival):
        return False
    return ends_rivals(order) and not (is_native(order) and is_native(rival))


def at_venue(order: Order) -> bool:
    """Whether it is one of a native set that has left."""
    return is_native(order) and order.attempt > 0 and order.state is not OrderState.WAITING


def why_kept_here(asked: LinkedRequest, exit_failed: ExitPolicy) -> str:
    """What of a set only the node can keep, in a few words; empty when there is nothing of the kind.

    An exit that opens a position is judged by the limits when its entry is filled, and not before; that can only be done here.
    And venues that place exits only with the whole of their entry end them when the rest of it is cancelled, whatever was
    filled: a part that stays would have no exit.
    """
    entry = asked.entry
    if entry is not None:
        if exit_failed is ExitPolicy.RETRY:
            return "exits that fail are to be tried again"
        if asked.releases_at is TriggerFill.COMPLETE_FILL:
            return "exits of an entry that ends with a part filled are placed for that part"
        if entry.conditions or entry.any_of or entry.trail is not None:
            return "its entry waits for conditions"
        if not all(exit_.reduce_only for exit_ in asked.exits):
            return "an exit that may open a position is judged when it is released"
    elif len({exit_.reduce_only for exit_ in asked.exits}) > 1:
        return "one of its orders passes gates that another one does not"
    return next(filter(None, map(_why_not, asked.exits)), "")


def _why_not(request: OrderRequest) -> str:
    if request.conditions or request.any_of or request.delay_s:
        return "one of its orders waits for conditions or a time of its own"
    if request.expires_after_s is not None or request.auto_cancel_s is not None or request.partial_fill is not None:
        return "one of its orders has an end of its own"
    return ""


def as_native(orders: Sequence[Order]) -> tuple[Order, ...]:
    """The accepted set, to be kept by its venue, with the trails of its orders."""
    return tuple(
        msgspec.structs.replace(_relinked(order, native=True), native_trail=order.trail is not None) for order in orders
    )


def kept_here(orders: Sequence[Order], why: str, *, now_ms: int) -> tuple[Order, ...]:
    """What still waits of a set that cannot leave as a whole any more: from now on the node keeps it."""
    return tuple(
        trailed_here(_relinked(order, native=False), why, now_ms=now_ms)
        for order in orders
        if order.state is OrderState.WAITING
    )


def trailed_here(order: Order, why: str, *, now_ms: int) -> Order:
    """If it has a trail, the node follows the price for it."""
    return msgspec.structs.replace(order, native_trail=False, reason=why[:MAX_TEXT], updated_at_ms=now_ms)


def sent_together(orders: Sequence[Order], *, valid_until_ms: int, now_ms: int) -> tuple[Order, ...]:
    """The next attempt of each: no byte leaves before all of their ids are stored."""
    return tuple(
        _relinked(to_submitting(order, valid_until_ms=valid_until_ms, now_ms=now_ms), after="", released=_share(order))
        for order in orders
    )


def back_together(orders: Sequence[Order], why: str, *, now_ms: int) -> tuple[Order, ...]:
    """None of them was placed: all wait again, the exits for their entry."""
    return tuple(_waiting(to_waiting(order, why, now_ms=now_ms)) for order in orders)


def refused_together(orders: Sequence[Order], why: str, *, now_ms: int) -> tuple[Order, ...]:
    """The venue took none of them, or we sent none. Exits whose entry was never placed protect nothing and have not failed."""
    return tuple(_waiting(to_rejected(order, why, now_ms=now_ms)) for order in orders)


def _waiting(order: Order) -> Order:
    entry = _link(order).entry
    return _relinked(order, after=entry, released=ZERO) if entry else order


def _share(order: Order) -> Decimal:
    return _link(order).share


def _relinked(order: Order, **changes: object) -> Order:
    return msgspec.structs.replace(order, link=msgspec.structs.replace(_link(order), **changes))


def _link(order: Order) -> Link:
    if order.link is None:
        raise AssertionError(f"{order.order_id}: is of no set")
    return order.link


# ── what the venue was to protect and does not ────────────────────────────────────────────────────────────────────────


def bare(entry: Order, exits: Sequence[Order]) -> Decimal:
    """How much of what the entry was filled is neither taken back nor guarded, other than by somebody's wish.

    Rivals guard all of it together: while a stop is gone that nobody gave up, a profit that may be taken protects nothing. An
    exit that the venue ended because of another one guards until the other one's fate is known.
    """
    guards = [order for order in exits if protects(order, entry)]
    if not any(_link(order).rivals for order in guards):
        return sum((_left(entry, order, order.filled_amount) for order in guards if _lost(order, ())), ZERO)
    lost = [order for order in guards if _lost(order, guards)]
    stands = any(not order.state.terminal for order in guards)
    if not lost or (stands and not any(map(_stop, lost))):
        return ZERO
    return _left(entry, lost[0], sum((order.filled_amount for order in guards), ZERO))


def _left(entry: Order, exit_: Order, closed: Decimal) -> Decimal:
    link = _link(exit_)
    return max(ZERO, link.share * entry.filled_amount / link.per - closed)


def _lost(order: Order, rivals: Sequence[Order]) -> bool:
    if not order.state.terminal or order.state is OrderState.FILLED or order.cancel_reason:
        return False
    undecided = any(not rival.state.terminal for rival in rivals if rival is not order)
    return not (undecided and ended_by_link(order))


def _stop(order: Order) -> bool:
    return order.order_type.has_trigger or order.trail is not None


def ended_by_link(order: Order) -> bool:
    """Whether the venue ended it because another of its set was over."""
    return order.state is OrderState.CANCELLED and order.reason.startswith(ENDED_BY_LINK)


def overfilled_together(exits: Sequence[Order]) -> bool:
    """Whether more was filled among rivals than any of them was asked for, or amended to. The venue itself makes them smaller."""
    filled = sum((order.filled_amount for order in exits), ZERO)
    return len(exits) > 1 and filled > max(max(_share(order), order.amount) for order in exits)
