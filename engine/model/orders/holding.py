"""What happens to an order that does not leave by itself: its conditions are met, a refusal is waited out, a person decides.

Like all rules of an order's life these are plain functions from an order and a fact to the next order.
"""

import msgspec

from engine.model.conditions.terms import Trailing
from engine.model.errors import IllegalTransition
from engine.model.money import ZERO
from engine.model.orders.order import MAX_TEXT, CancelState, Order, OrderState


def freed(order: Order, *, at_ms: int, now_ms: int) -> Order:
    """It may leave from `at_ms` on, or from its due time if that is later, for as long as it is good for."""
    since_ms = max(at_ms, order.due_at_ms)
    deadline_ms = since_ms + int(order.good_for_s * 1000)
    return msgspec.structs.replace(order, deadline_ms=deadline_ms, updated_at_ms=now_ms)


def conditions_met(order: Order, *, at_ms: int, evidence: str, now_ms: int) -> Order:
    """All it waited for held at `at_ms`. An order that is over, is being cancelled or has no conditions stays as it is."""
    if order.state is not OrderState.WAITING or order.cancel is not CancelState.NONE or not order.conditional:
        return order
    met = msgspec.structs.replace(order, met_at_ms=at_ms, evidence=evidence[:MAX_TEXT])
    return freed(met, at_ms=at_ms, now_ms=now_ms)


def trailed(order: Order, trailing: Trailing, *, now_ms: int) -> Order:
    """A trailing stop has come further: up for one that sells, down for one that buys. It never goes back."""
    if order.state is not OrderState.WAITING or order.trail is None or not order.conditional:
        return order
    if order.trailing is not None and (order.trailing.best - trailing.best) * order.side.sign <= ZERO:
        return order
    return msgspec.structs.replace(order, trailing=trailing, updated_at_ms=now_ms)


def refused_for_now(order: Order, why: str, *, again_in_s: float, now_ms: int) -> Order:
    """The venue refused the attempt in flight, and a later one, with a new client id, may be taken."""
    _check_refused(order)
    due_at_ms = now_ms + int(again_in_s * 1000)
    waiting = msgspec.structs.replace(
        order,
        state=OrderState.WAITING,
        refusals=order.refusals + 1,
        reason=why[:MAX_TEXT],
        due_at_ms=due_at_ms,
    )
    return freed(waiting, at_ms=due_at_ms, now_ms=now_ms)


def refused_and_kept(order: Order, why: str, *, now_ms: int) -> Order:
    """The venue refused the attempt in flight; a person decides what follows."""
    _check_refused(order)
    return msgspec.structs.replace(
        order,
        state=OrderState.WAITING,
        refusals=order.refusals + 1,
        reason=why[:MAX_TEXT],
        review=why[:MAX_TEXT],
        updated_at_ms=now_ms,
    )


def up_for_review(order: Order, why: str, *, now_ms: int) -> Order:
    """It cannot be settled without a person."""
    if order.state.terminal or order.review:
        return order
    return msgspec.structs.replace(order, review=why[:MAX_TEXT], updated_at_ms=now_ms)


def retried_by_a_person(order: Order, note: str, *, now_ms: int) -> Order:
    """The next attempt may leave: somebody vouches that the last one is not at the venue."""
    if not may_be_retried(order):
        raise IllegalTransition(f"{order.order_id}: {order.state} cannot be tried again")
    waiting = msgspec.structs.replace(order, state=OrderState.WAITING, review="", reason=note[:MAX_TEXT])
    return freed(waiting, at_ms=now_ms, now_ms=now_ms)


def may_be_retried(order: Order) -> bool:
    """Whether another attempt could be one too many only if somebody is wrong about the last one."""
    alone = order.link is None or not order.link.native  # one of a set cannot be sent again without the others
    lost = alone and order.state is OrderState.UNKNOWN and not order.venue_order_id and order.filled_amount == ZERO
    return (lost or order.state is OrderState.WAITING) and order.cancel is CancelState.NONE


def closed_by_a_person(order: Order, note: str, *, now_ms: int) -> Order:
    """It is over, with what was filled: somebody vouches that the venue does not hold it. The venue is still believed more."""
    if order.state not in (OrderState.WAITING, OrderState.UNKNOWN):
        raise IllegalTransition(f"{order.order_id}: {order.state} cannot be closed by hand")
    taken = bool(order.venue_order_id) or order.filled_amount > ZERO
    unsent = order.state is OrderState.WAITING
    return msgspec.structs.replace(
        order,
        state=OrderState.CANCELLED if taken or unsent else OrderState.EXPIRED,
        vouched=not unsent,
        review="",
        reason=note[:MAX_TEXT],
        cancel=CancelState.NONE,
        amend=None,
        updated_at_ms=now_ms,
    )


def noted(order: Order, note: str, *, now_ms: int) -> Order:
    """A person said something about it."""
    return msgspec.structs.replace(order, reason=note[:MAX_TEXT], updated_at_ms=now_ms)


def _check_refused(order: Order) -> None:
    if order.state not in (OrderState.SUBMITTING, OrderState.UNKNOWN) or order.venue_order_id:
        raise IllegalTransition(f"{order.order_id}: {order.state} was not refused")
