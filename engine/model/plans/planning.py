"""What a plan does next: a plain function from a plan and what is known to the plan after it and one thing to do.

The plan after it is stored before the thing is done, and doing it again is harmless, so this may be cut off anywhere. Three rules
keep what is filled within the amount:

* a new child is asked for only when the last one is over, and for no more than what all children together left open;
* a child whose fate is unknown is not over: the plan waits, whatever its clock says;
* a child that was cancelled by somebody else ends the plan: whoever cancels an order does not want its successor.
"""

from decimal import Decimal

import msgspec

from engine.model.instruments import Instrument
from engine.model.money import plain
from engine.model.orders.order import CancelState, Order, OrderState
from engine.model.orders.requests import OrderRequest
from engine.model.plans.parts import child_request, ended, no_rest, rest_begins, rest_ends
from engine.model.plans.plan import (
    MAX_CHILDREN,
    Child,
    ChildKind,
    Plan,
    PlanState,
    Quote,
    Worked,
)
from engine.model.plans.prices import (
    least_amount,
    most_amount,
    next_slice,
    next_slice_ms,
    progressive_price,
    slice_ms,
    slice_price,
)
from engine.model.plans.requests import ExecutionStyle, OnEnd

MAX_REFUSALS = 5
MAX_AMENDS = 2  # to one price; then the order is replaced
REFUSED_PAUSE_MS = 1000  # and as much more for every refusal before


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known now. `order` is the child as it was last stored; `quote` is None, and `stale` says why, without fresh data.

    `worked` is of all children together; `roll` is a number drawn from [0, 1).
    """

    now_ms: int
    instrument: Instrument | None
    quote: Quote | None
    stale: str = ""
    order: Order | None = None
    worked: Worked = Worked()
    roll: float = 0.5


class Submit(msgspec.Struct, frozen=True):
    request: OrderRequest


class Move(msgspec.Struct, frozen=True):
    order_id: str
    price: Decimal


class Withdraw(msgspec.Struct, frozen=True):
    order_id: str
    reason: str


class Step(msgspec.Struct, frozen=True):
    """The plan from here on, the one thing to do once it is stored (None: nothing), and what it waits for meanwhile."""

    plan: Plan
    do: Submit | Move | Withdraw | None = None
    waits_for: str = ""


def next_step(plan: Plan, facts: Facts) -> Step:
    """What a plan does next. `facts.order` must be known for a child that was taken."""
    if plan.state.terminal:
        return Step(plan)
    plan = msgspec.structs.replace(plan, worked=facts.worked)
    child, order = plan.child, facts.order
    if child is None or not child.order_id:
        return _without_child(plan, facts)
    if order is None:
        raise ValueError(f"{plan.plan_id}: its order {child.order_id} is taken and not known")
    if order.state.terminal:
        return _without_child(_closed(plan, child, order, facts), facts)
    return _with_child(plan, child, order, facts)


# ── while a child may live ────────────────────────────────────────────────────────────────────────────────────────────


def _with_child(plan: Plan, child: Child, order: Order, facts: Facts) -> Step:
    if plan.ends_as is None and facts.now_ms >= plan.expires_at_ms:
        plan = ended(plan, PlanState.EXPIRED, "its time is over")
    if child.cancelling or plan.ends_as is not None:
        return _withdraw(plan, child, order, plan.reason or "it makes way for the next")
    if order.state is not OrderState.OPEN or order.review:
        return Step(plan, waits_for=f"its order {order.order_id} is {order.review or order.state}")
    if order.amend is not None:
        return Step(plan, waits_for=f"the answer to an amend of {order.order_id}")
    if child.kind is not ChildKind.REST:
        return Step(plan, waits_for=f"its order {order.order_id} is {order.state}")
    if child.price is not None and order.price != child.price:
        return _move_again(plan, child, order)
    if facts.now_ms < plan.next_at_ms:
        return Step(plan, waits_for="its next step")
    if plan.request.style is ExecutionStyle.TWAP:
        return _slice_is_over(plan, child, order, facts)
    return _progress(plan, child, order, facts)


def _withdraw(plan: Plan, child: Child, order: Order, why: str) -> Step:
    plan = msgspec.structs.replace(plan, child=msgspec.structs.replace(child, cancelling=True))
    if order.cancel is CancelState.REQUESTED:
        return Step(plan, waits_for=f"the end of {order.order_id}")
    return Step(plan, Withdraw(order.order_id, why), waits_for=f"the end of {order.order_id}")


def _move_again(plan: Plan, child: Child, order: Order) -> Step:
    """The amend was never sent, or refused."""
    price = child.price
    assert price is not None
    if child.tries >= MAX_AMENDS:
        return _withdraw(plan, child, order, "it could not be moved")
    child = msgspec.structs.replace(child, tries=child.tries + 1)
    return Step(msgspec.structs.replace(plan, child=child), Move(order.order_id, price))


def _slice_is_over(plan: Plan, child: Child, order: Order, facts: Facts) -> Step:
    """Its rest is worked with the next one, unless that would be the same order again, only later in the venue's queue."""
    twap = plan.request.twap
    assert twap is not None
    same = plan.step >= plan.slices and plan.remaining == order.remaining and not twap.passive
    if same and not _must_cross(plan, facts):
        return Step(plan, waits_for="the rest of the last slice")
    return _withdraw(plan, child, order, "its interval is over")


def _progress(plan: Plan, child: Child, order: Order, facts: Facts) -> Step:
    pace = plan.pace
    assert pace is not None
    if plan.step >= plan.request.pacing.max_steps:
        if plan.request.on_end is OnEnd.CROSS:
            return _withdraw(msgspec.structs.replace(plan, last=True), child, order, "what is left is taken at once")
        return _withdraw(ended(plan, PlanState.EXPIRED, "its steps are used up"), child, order, "its steps are used up")
    if facts.quote is None or facts.instrument is None:
        return Step(plan, waits_for=facts.stale or "fresh prices")
    price = progressive_price(plan, facts.quote, facts.instrument, before=child.price)
    plan = msgspec.structs.replace(plan, step=plan.step + 1, price=price, next_at_ms=_after(facts, pace.step_s))
    if price == child.price:
        return Step(plan, waits_for="its next step")
    plan = rest_begins(rest_ends(plan, facts.quote, facts.now_ms), price, order.remaining, facts.quote, facts.now_ms)
    plan = msgspec.structs.replace(plan, child=msgspec.structs.replace(child, price=price, tries=1))
    return Step(plan, Move(order.order_id, price))


# ── between children ──────────────────────────────────────────────────────────────────────────────────────────────────


def _closed(plan: Plan, child: Child, order: Order, facts: Facts) -> Plan:
    """The child is over, by the venue's word or unsent."""
    plan = rest_ends(plan, facts.quote, facts.now_ms) if order.venue_order_id else no_rest(plan)
    now = plan.next_at_ms if plan.request.style is ExecutionStyle.TWAP else facts.now_ms
    plan = msgspec.structs.replace(plan, child=None, next_at_ms=now)
    if plan.remaining <= 0:
        return plan
    refused = order.state is OrderState.REJECTED or (
        order.state is OrderState.EXPIRED and bool(order.venue_order_id) and child.kind is ChildKind.REST
    )
    if refused:
        plan = msgspec.structs.replace(
            plan, refusals=plan.refusals + 1, next_at_ms=facts.now_ms + REFUSED_PAUSE_MS * (plan.refusals + 1)
        )
        if plan.refusals >= MAX_REFUSALS:
            return ended(plan, PlanState.FAILED, order.reason or "the venue refused its orders")
        return plan
    if order.state is OrderState.CANCELLED and not child.cancelling and child.kind is ChildKind.REST:
        return ended(
            plan, PlanState.CANCELLED, f"its order was cancelled elsewhere: {order.reason or 'no reason given'}"
        )
    if child.kind is ChildKind.LAST and order.attempt and order.state is not OrderState.FILLED:
        return ended(plan, PlanState.EXPIRED, "the market did not have the rest within its price")
    return plan


def _without_child(plan: Plan, facts: Facts) -> Step:
    if plan.remaining <= 0:
        return _over(plan, PlanState.DONE, "", facts)
    if plan.ends_as is not None:
        return _over(plan, plan.ends_as, plan.reason, facts)
    if facts.now_ms >= plan.expires_at_ms:
        return _over(plan, PlanState.EXPIRED, "its time is over", facts)
    if facts.now_ms < plan.next_at_ms:
        return Step(plan, waits_for="its next step" if plan.children else "its beginning")
    if facts.quote is None or facts.instrument is None:
        return Step(plan, waits_for=facts.stale or "fresh prices")
    if plan.remaining < least_amount(plan.request.order, facts.instrument, facts.quote):
        left = f"what is left, {plain(plan.remaining)}, is less than the venue takes"
        return _over(plan, PlanState.EXPIRED, left, facts)
    if plan.children >= MAX_CHILDREN and plan.child is None:
        return _over(plan, PlanState.FAILED, f"{MAX_CHILDREN} orders were not enough", facts)
    return _next_child(plan, facts.quote, facts.instrument, facts)


def _over(plan: Plan, state: PlanState, reason: str, facts: Facts) -> Step:
    return Step(
        msgspec.structs.replace(
            plan,
            state=state,
            reason=reason,
            child=None,
            ends_as=None,
            departure=facts.quote,
            updated_at_ms=facts.now_ms,
        )
    )


def _next_child(plan: Plan, quote: Quote, instrument: Instrument, facts: Facts) -> Step:
    limit = plan.request.order.price
    if plan.last or _must_cross(plan, facts):
        return _place(plan, ChildKind.LAST, plan.remaining, limit, facts)
    if plan.request.style is ExecutionStyle.PROGRESSIVE:
        pace = plan.pace
        assert pace is not None
        price = progressive_price(plan, quote, instrument, before=None)
        plan = msgspec.structs.replace(plan, price=price, next_at_ms=_after(facts, pace.step_s))
        return _place(plan, ChildKind.REST, plan.remaining, price, facts)
    return _place_slice(plan, quote, instrument, facts)


def _place_slice(plan: Plan, quote: Quote, instrument: Instrument, facts: Facts) -> Step:
    least = least_amount(plan.request.order, instrument, quote)
    number, amount = next_slice(plan, instrument, least, facts.now_ms)
    due_ms = next_slice_ms(plan, number, facts.now_ms, facts.roll)
    if plan.request.on_end is OnEnd.CROSS:
        due_ms = min(due_ms, max(_crosses_at_ms(plan), facts.now_ms + 1))
    plan = msgspec.structs.replace(plan, step=number, next_at_ms=due_ms)
    if amount <= 0:
        return Step(plan, waits_for="its next slice")
    price = slice_price(plan, quote, instrument)
    return _place(plan, ChildKind.TAKE if price is None else ChildKind.REST, amount, price, facts)


def _must_cross(plan: Plan, facts: Facts) -> bool:
    """Whether a TWAP has used up its time and what is left is to be taken."""
    twap = plan.request.twap
    return twap is not None and twap.on_end is OnEnd.CROSS and facts.now_ms >= _crosses_at_ms(plan)


def _crosses_at_ms(plan: Plan) -> int:
    """Half a slice before the plan expires."""
    return round(plan.expires_at_ms - slice_ms(plan) / 2)


def _place(plan: Plan, kind: ChildKind, amount: Decimal, price: Decimal | None, facts: Facts) -> Step:
    """A new number, or the one of the last child if the queue did not take it."""
    assert facts.quote is not None and facts.instrument is not None
    most = most_amount(facts.instrument, price)
    amount = amount if most is None else min(amount, most)
    assert amount <= plan.remaining, f"{plan.plan_id}: {amount} is more than what is left"
    number = plan.child.number if plan.child is not None else plan.children + 1
    plan = msgspec.structs.replace(
        plan,
        children=number,
        child=Child(number=number, kind=kind, amount=amount, price=price, tries=1),
        arrival=plan.arrival or facts.quote,
        tick=plan.tick or facts.instrument.tick_at(facts.quote.mid),
        updated_at_ms=facts.now_ms,
    )
    if kind is ChildKind.REST and price is not None:
        plan = rest_begins(no_rest(plan), price, amount, facts.quote, facts.now_ms)
    return Step(plan, Submit(child_request(plan)))


def _after(facts: Facts, seconds: float) -> int:
    return facts.now_ms + round(seconds * 1000)
