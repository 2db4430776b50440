"""What the venue says of an order, and what that makes of it.

Word comes late, twice and out of order, from replies, questions and the private stream. It is believed more than anything we
concluded ourselves, and a fact that is older than what we know changes nothing.
"""

from decimal import Decimal

import msgspec

from engine.model.errors import IllegalTransition, ModelError
from engine.model.money import ZERO, checked, plain, positive
from engine.model.orders.order import MAX_TEXT, TERMINAL, CancelState, Order, OrderState
from engine.model.terms import Side


class OrderReport(msgspec.Struct, frozen=True, kw_only=True):
    """A venue's word about one order, from a reply, a query or the private stream."""

    account: str
    instrument: str
    client_order_id: str
    venue_order_id: str
    state: OrderState  # open, filled, cancelled, rejected or expired
    side: Side
    amount: Decimal
    order_type: str  # the venue's own word: foreign orders may be of a kind we do not place
    price: Decimal | None = None
    filled_amount: Decimal = ZERO
    average_price: Decimal | None = None
    triggered: bool = False
    reason: str = ""
    updated_at_ms: int = 0


def reported(order: Order, report: OrderReport, *, now_ms: int) -> Order:
    """The order after a venue's word. Word about an attempt that was never made, or older than what we know, changes
    nothing.

    What a terminal order may still learn: a larger filled amount (and a cancelled one that in truth filled becomes
    filled), and that more of it was wanted than we knew, when its fills came before the word of an amend. An order that ended without the venue ever acknowledging it is believed to be whatever the venue says now;
    its caller was told that it is over, so one that turns out to live is to be cancelled.

    Raises `ModelError` for word that contradicts itself or the order.
    """
    if order.attempt == 0:
        raise IllegalTransition(f"{order.order_id}: reported by the venue but never sent")
    _check_word(order, report)
    filled = max(order.filled_amount, report.filled_amount)
    average = (
        report.average_price
        if report.filled_amount >= order.filled_amount and report.average_price
        else order.average_price
    )
    grown = (
        order.state is OrderState.FILLED and report.amount > filled and report.updated_at_ms > order.venue_updated_at_ms
    )
    if order.state.terminal and order.venue_order_id and not order.vouched and not grown:
        end = OrderState.FILLED if filled >= order.amount else order.state
        if (filled, end) == (order.filled_amount, order.state):
            return order
        return msgspec.structs.replace(
            order, state=end, filled_amount=filled, average_price=average, updated_at_ms=now_ms
        )
    if report.updated_at_ms < order.venue_updated_at_ms and not report.state.terminal:
        return order
    state = OrderState.FILLED if filled >= report.amount else report.state
    ended = state.terminal
    wanted = CancelState.REQUESTED if never_acknowledged(order) else order.cancel
    ours = order.cancel_reason if state is OrderState.CANCELLED else ""
    return msgspec.structs.replace(
        order,
        state=state,
        venue_order_id=report.venue_order_id or order.venue_order_id,
        amount=report.amount,
        price=order.price if report.price is None else report.price,
        filled_amount=filled,
        average_price=average,
        triggered=order.triggered or report.triggered,
        reason=(ours or report.reason)[:MAX_TEXT] if ended else "",
        review="",
        vouched=False,
        opened_at_ms=order.opened_at_ms if order.opened_at_ms is not None else now_ms,
        cancel=CancelState.NONE if ended else wanted,
        amend=None if ended else order.amend,
        venue_updated_at_ms=max(order.venue_updated_at_ms, report.updated_at_ms),
        updated_at_ms=now_ms,
    )


_VENUE_STATES = frozenset({OrderState.OPEN, *TERMINAL})


def _check_word(order: Order, report: OrderReport) -> None:
    positive(report.amount, "amount")
    for field in ("filled_amount", "price", "average_price"):
        value = getattr(report, field)
        if value is not None:
            checked(value, field)
    if not ZERO <= report.filled_amount <= report.amount:
        raise ModelError("filled_amount", f"from 0 to the amount {plain(report.amount)}", plain(report.filled_amount))
    if report.state not in _VENUE_STATES:
        raise ModelError("state", f"one of {', '.join(sorted(_VENUE_STATES))}", report.state)
    if report.state is OrderState.FILLED and report.filled_amount < report.amount:
        raise ModelError("filled_amount", f"{plain(report.amount)} of a filled order", plain(report.filled_amount))
    for field in ("instrument", "side"):
        if getattr(report, field) != getattr(order, field):
            raise ModelError(field, getattr(order, field), getattr(report, field))


def never_acknowledged(order: Order) -> bool:
    """Whether it ended without a word of the venue: that it is over, or that it ever existed. A fill of a part says that it
    existed, and not that the rest is over.
    """
    unheard = not order.venue_order_id and order.state is not OrderState.FILLED
    return order.state.terminal and (unheard or order.vouched)


def executed(order: Order, *, price: Decimal, amount: Decimal, now_ms: int, venue_order_id: str = "") -> Order:
    """The order after one new fill. A fill proves that the order was placed, whatever we believed, and that a stop
    was triggered.

    While an amend is under way the whole may be more than we know: then only the venue says that it is filled.
    """
    total = order.executed_amount + amount
    filled = max(order.filled_amount, total)
    news = filled - order.filled_amount
    average = order.average_price
    if news > ZERO or average is None:
        average = ((average or ZERO) * order.filled_amount + price * news) / filled if filled > news else price
    whole = filled >= order.amount and order.amend is None
    alive = not order.state.terminal
    return msgspec.structs.replace(
        order,
        venue_order_id=(venue_order_id if alive else "") or order.venue_order_id,
        state=OrderState.FILLED if whole else OrderState.OPEN if alive else order.state,
        executed_amount=total,
        filled_amount=filled,
        average_price=average,
        triggered=order.triggered or order.order_type.has_trigger or order.native_trail,
        review=order.review if not alive else "",
        opened_at_ms=order.opened_at_ms if order.opened_at_ms is not None else now_ms,
        cancel=CancelState.NONE if whole else order.cancel,
        amend=None if whole else order.amend,
        updated_at_ms=now_ms,
    )
