"""What a plan remembers of its orders, and the order its next child is."""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from engine.model.errors import ModelError
from engine.model.money import ZERO
from engine.model.orders.order import MAX_TEXT, Order
from engine.model.orders.requests import OrderRequest
from engine.model.plans.plan import MAX_KEPT, ChildKind, Plan, PlanState, Quote, Rest, Worked, child_key
from engine.model.terms import ErrorPolicy, OrderType, PartialFill, TimeInForce


def ended(plan: Plan, state: PlanState, reason: str) -> Plan:
    """Wanted to end; it is over when its child is. The first word stands."""
    if plan.ends_as is not None or plan.state.terminal:
        return plan
    return msgspec.structs.replace(plan, ends_as=state, reason=reason[:MAX_TEXT])


def taken(plan: Plan, order_id: str) -> Plan:
    """The queue has taken the child."""
    if plan.child is None:
        return plan
    ids = plan.order_ids if order_id in plan.order_ids else (*plan.order_ids, order_id)[-MAX_KEPT:]
    child = msgspec.structs.replace(plan.child, order_id=order_id)
    return msgspec.structs.replace(plan, child=child, order_ids=ids)


def not_moved(plan: Plan) -> Plan:
    """The queue could not take the amend now: that says nothing of whether the order can be moved."""
    if plan.child is None or not plan.child.tries:
        return plan
    return msgspec.structs.replace(plan, child=msgspec.structs.replace(plan.child, tries=plan.child.tries - 1))


def part_of(order: Order) -> Worked:
    """What one child filled."""
    takes = order.order_type is OrderType.MARKET or order.time_in_force is TimeInForce.IOC
    return Worked(order.filled_amount, order.filled_amount if takes else ZERO, order.average_price)


def together(parts: Iterable[Worked]) -> Worked:
    """What all children filled."""
    amount, crossed, value = ZERO, ZERO, ZERO
    for part in parts:
        amount += part.amount
        crossed += part.taken
        value += part.amount * (part.average_price or ZERO)
    return Worked(amount, crossed, value / amount if amount else None)


def child_request(plan: Plan) -> OrderRequest:
    """The order a plan's child is."""
    whole, child = plan.request.order, plan.child
    if child is None:
        raise ModelError("plan", "a plan with a child", plan.plan_id)
    rests = child.kind is ChildKind.REST
    return msgspec.structs.replace(
        whole,
        amount=child.amount,
        order_type=OrderType.MARKET if child.price is None else OrderType.LIMIT,
        price=child.price,
        time_in_force=TimeInForce.GTC if rests or child.price is None else TimeInForce.IOC,
        post_only=whole.post_only and rests,
        account=plan.account,
        request_key=child_key(plan.plan_id, child.number),
        plan=plan.plan_id,
        delay_s=0.0,
        expires_after_s=None,
        auto_cancel_s=0.0,  # never: the plan says how long it rests
        partial_fill=PartialFill.WAIT_REMAINING,
        on_error=ErrorPolicy.CANCEL,
    )


def rest_begins(plan: Plan, price: Decimal, amount: Decimal, quote: Quote, now_ms: int) -> Plan:
    """A price begins to stand."""
    rest = Rest(price=price, quote=quote, amount=amount, began_ms=now_ms, filled_before=plan.worked.amount)
    return msgspec.structs.replace(plan, rests=(*plan.rests, rest)[-MAX_KEPT:])


def rest_ends(plan: Plan, quote: Quote | None, now_ms: int) -> Plan:
    """It does not stand any more."""
    if not plan.rests or plan.rests[-1].ended_ms:
        return plan
    rest = msgspec.structs.replace(plan.rests[-1], ended_ms=now_ms, filled_after=plan.worked.amount, after=quote)
    return msgspec.structs.replace(plan, rests=(*plan.rests[:-1], rest))


def no_rest(plan: Plan) -> Plan:
    """The order never was at the venue."""
    unended = bool(plan.rests) and not plan.rests[-1].ended_ms
    return msgspec.structs.replace(plan, rests=plan.rests[:-1]) if unended else plan
