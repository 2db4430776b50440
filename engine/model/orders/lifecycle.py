"""How long an order may wait, rest and be retried, and what is done about its partial fills and refusals: settings and rules.

An order's own word comes first, the account's settings where it has none. Two defaults of the settings, the end of a long rest
and giving up the rest of a partial fill, leave alone what protects a position: reduce-only orders, orders that wait for a price
at the venue, and members of a linked set. Taking such an order away is more violent than what the default guards against.
"""

from typing import Annotated

import msgspec

from engine.model.conditions.alarms import Moment
from engine.model.denials import Denial, denied
from engine.model.money import ZERO
from engine.model.orders.order import CancelState, Order, OrderState
from engine.model.orders.requests import MAX_S, OrderRequest
from engine.model.terms import ErrorPolicy, PartialFill


class NonImmediateOrders(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Delayed orders, and attempts after a venue's refusal."""

    enabled: bool = True
    max_delay_s: Annotated[float, msgspec.Meta(ge=0, le=MAX_S)] = 300.0
    retry_attempts: Annotated[int, msgspec.Meta(ge=0, le=100)] = 3
    retry_delay_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = (
        5.0  # before the first of them; twice as long before each next
    )


class ConditionalOrders(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Orders that wait for conditions or trail a price."""

    enabled: bool = True
    max_conditions: Annotated[int, msgspec.Meta(ge=1, le=100)] = 5  # of one order, all groups together


class OrderLifecycle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`auto_cancel_timeout_s` counts from the venue's first word of an order, 0 turns it off. `monitoring_interval_s`: an open
    order nothing was heard of for so long is asked for.
    """

    auto_cancel_timeout_s: Annotated[float, msgspec.Meta(ge=0, le=MAX_S)] = 3600.0
    partial_fill_handling: PartialFill = PartialFill.WAIT_REMAINING
    error_handling: ErrorPolicy = ErrorPolicy.CANCEL
    monitoring_interval_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 10.0


def deny_waiting(request: OrderRequest, delays: NonImmediateOrders, conditions: ConditionalOrders) -> Denial | None:
    """The first reason of the settings not to let an order wait as it asks to; None when there is none."""
    if request.delay_s and not delays.enabled:
        return denied("DISABLED", "delay_s", "no delay: delayed orders are turned off", f"{request.delay_s:g}")
    if request.delay_s > delays.max_delay_s:
        return denied("DELAY_LIMIT", "delay_s", f"at most {delays.max_delay_s:g} seconds", f"{request.delay_s:g}")
    count = len(request.conditions) + sum(map(len, request.any_of))
    if (count or request.trail is not None) and not conditions.enabled:
        return denied("DISABLED", "conditions", "none: conditional orders are turned off", str(count))
    if count > conditions.max_conditions:
        return denied("TOO_MANY_CONDITIONS", "conditions", f"at most {conditions.max_conditions}", str(count))
    return None


def moments(order: Order, rules: OrderLifecycle) -> list[tuple[Moment, int]]:
    """What comes for an order as it is now, in Unix milliseconds."""
    come: list[tuple[Moment, int]] = []
    if order.state is OrderState.OPEN:
        longest_s = rests_s(order, rules)
        if longest_s and order.opened_at_ms is not None:
            come.append((Moment.RESTED, order.opened_at_ms + int(longest_s * 1000)))
    elif not order.held:
        come.append((Moment.DEADLINE, order.deadline_ms))
        if order.due_at_ms and order.state is OrderState.WAITING:
            come.append((Moment.DUE, order.due_at_ms))
    if order.expires_at_ms is not None:
        come.append((Moment.EXPIRES, order.expires_at_ms))
    return come


def rests_s(order: Order, rules: OrderLifecycle) -> float:
    """How long the order may rest at the venue; 0 for as long as it likes."""
    if order.auto_cancel_s is not None:
        return order.auto_cancel_s
    return rules.auto_cancel_timeout_s if _plain(order) else 0.0


def gives_up_rest(order: Order, rules: OrderLifecycle) -> bool:
    """Whether a part of the order was filled and the rest is to be cancelled."""
    partly = order.state is OrderState.OPEN and ZERO < order.filled_amount < order.amount
    if not partly or order.cancel is not CancelState.NONE:
        return False
    default = rules.partial_fill_handling if _plain(order) else PartialFill.WAIT_REMAINING
    return (order.partial_fill or default) is PartialFill.CANCEL_REMAINING


def _plain(order: Order) -> bool:
    waits = order.order_type.has_trigger or order.native_trail
    return not order.reduce_only and not waits and (order.link is None or bool(order.link.exits))
