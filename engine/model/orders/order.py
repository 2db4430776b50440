"""Orders: what was asked for, what is known of it, and the only ways its state may change.

The life of an order::

    waiting ──► submitting ──► open ──► filled | cancelled | expired
       │            │            │
       │  ◄─────────┤            │  (certainly never placed: the next attempt has a new client id)
       │            ├──► rejected        the venue's own refusal, nothing else
       │            └──► unknown ──► whatever the venue says once it is found
       └──► cancelled | expired | rejected     never sent

`unknown` is the state of every order whose fate we could not learn: a lost reply, a dead socket, our own crash. It is
not terminal and nothing but the venue's word, or proof that the order was never placed, ends it. Terminal orders still
accept late fills: a cancel that crossed a fill on the wire must not lose the fill.

Each rule is a plain function from an order and a fact to the next order. What the venue's word makes of an order is in
`engine.model.orders.word`, what holds one before it leaves in `engine.model.orders.holding`.
"""

import re
from decimal import Decimal
from enum import StrEnum

import msgspec

from engine.model.conditions.terms import Condition, Trail, Trailing
from engine.model.errors import IllegalTransition
from engine.model.money import ZERO
from engine.model.orders.linking import Link
from engine.model.orders.requests import OrderRequest
from engine.model.terms import ErrorPolicy, OrderType, PartialFill, Priority, Side, TimeInForce, TriggerBy

MAX_TEXT = 200  # reasons and tags are for people; a venue's novel is cut


class OrderState(StrEnum):
    WAITING = "waiting"
    SUBMITTING = "submitting"
    OPEN = "open"
    UNKNOWN = "unknown"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"

    @property
    def terminal(self) -> bool:
        return self in TERMINAL

    @property
    def may_be_live(self) -> bool:
        """Whether the venue may hold it: what a cancel must reach and a gate must respect."""
        return self in (OrderState.SUBMITTING, OrderState.OPEN, OrderState.UNKNOWN)


TERMINAL = frozenset({OrderState.FILLED, OrderState.CANCELLED, OrderState.REJECTED, OrderState.EXPIRED})


class CancelState(StrEnum):
    """A cancel is a fact of its own: it is stored before it is sent and resent until the venue answers."""

    NONE = "none"
    REQUESTED = "requested"


class Amend(msgspec.Struct, frozen=True, kw_only=True):
    """New absolute values for a live order.

    `unsettled` after a lost answer: the order is read again before another amend.
    """

    amount: Decimal
    price: Decimal | None
    valid_until_ms: int
    unsettled: bool = False


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of one order. `filled_amount` only grows."""

    order_id: str
    account: str
    instrument: str
    side: Side
    amount: Decimal
    order_type: OrderType
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    trigger_by: TriggerBy = TriggerBy.MARK
    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    reduce_only: bool = False
    strategy: str = ""
    request_key: str = ""
    state: OrderState = OrderState.WAITING
    attempt: int = 0
    venue_order_id: str = ""
    filled_amount: Decimal = ZERO
    executed_amount: Decimal = (
        ZERO  # sum of the stored fills; less than filled_amount while some are still missing here
    )
    average_price: Decimal | None = None
    triggered: bool = False
    cancel: CancelState = CancelState.NONE
    cancel_reason: str = ""  # in the words of whoever wanted it
    vouched: bool = False  # a person, not the venue, said that it is over
    amend: Amend | None = None
    reason: str = ""
    priority: Priority = Priority.NORMAL
    due_at_ms: int = 0  # no attempt starts before this
    conditions: tuple[Condition, ...] = ()
    any_of: tuple[tuple[Condition, ...], ...] = ()
    trail: Trail | None = None
    trailing: Trailing | None = None
    native_trail: bool = False  # the venue follows the price: it is sent as it is, with its trail
    met_at_ms: int | None = None  # when its conditions held, or its trail was hit
    evidence: str = ""  # what was seen then
    link: Link | None = None
    plan: str = ""
    expires_at_ms: int | None = None  # of its whole life
    opened_at_ms: int | None = None  # when the venue's first word of it came
    auto_cancel_s: float | None = None
    partial_fill: PartialFill | None = None
    on_error: ErrorPolicy | None = None
    refusals: int = 0  # by the venue, after which it was tried again
    review: str = ""  # why a person must look at it; it does not leave by itself
    metadata: dict[str, str] = {}
    created_at_ms: int
    updated_at_ms: int
    good_for_s: float = 10.0
    deadline_ms: int  # no attempt starts after this; of an order that may not leave yet it says nothing
    submitted_at_ms: int | None = None
    valid_until_ms: int | None = None  # of the current attempt: the venue refuses to start it later
    venue_updated_at_ms: int = 0  # the venue's clock at its newest word about this order

    @property
    def client_order_id(self) -> str:
        """The current attempt's id at the venue: `[a-z0-9-]{1,36}`, used for one attempt only."""
        return client_order_id(self.order_id, self.attempt)

    @property
    def remaining(self) -> Decimal:
        return self.amount - self.filled_amount

    @property
    def conditional(self) -> bool:
        """Whether it has conditions, or a trail that is followed here, that have not been met yet."""
        trails_here = self.trail is not None and not self.native_trail
        return self.met_at_ms is None and (trails_here or bool(self.conditions or self.any_of))

    @property
    def held(self) -> bool:
        """Whether something other than time must happen before it may leave, or another order with which it leaves."""
        link = self.link
        waits = link is not None and (bool(link.after) or (link.native and link.group != self.order_id))
        return self.conditional or bool(self.review) or waits


_CLIENT_ID = re.compile(r"([a-z0-9]{1,12}-[0-9]{1,15})-[0-9]{1,7}")


def client_order_id(order_id: str, attempt: int) -> str:
    return f"{order_id}-{attempt}"


def order_id_of(client_id: str) -> str | None:
    """Our order id inside a client id, or None when it has not our form (`<node>-<number>-<attempt>`)."""
    ours = _CLIENT_ID.fullmatch(client_id)
    return ours[1] if ours else None


def order_number(order_id: str) -> int:
    """The number inside one of our order ids; 0 for another form. It grows with every order of a store."""
    number = order_id.rpartition("-")[2]
    return int(number) if number.isascii() and number.isdigit() else 0


def new_order(request: OrderRequest, *, order_id: str, account: str, now_ms: int) -> Order:
    """The stored form of an accepted request."""
    due_at_ms = now_ms + int(request.delay_s * 1000)
    return Order(
        order_id=order_id,
        account=account,
        instrument=request.instrument,
        side=request.side,
        amount=request.amount,
        order_type=request.order_type,
        price=request.price,
        trigger_price=request.trigger_price,
        trigger_by=request.trigger_by,
        time_in_force=request.time_in_force,
        post_only=request.post_only,
        reduce_only=request.reduce_only,
        strategy=request.strategy,
        request_key=request.request_key,
        priority=request.priority,
        due_at_ms=due_at_ms if request.delay_s else 0,
        conditions=request.conditions,
        any_of=request.any_of,
        trail=request.trail,
        plan=request.plan,
        expires_at_ms=None if request.expires_after_s is None else now_ms + int(request.expires_after_s * 1000),
        auto_cancel_s=request.auto_cancel_s,
        partial_fill=request.partial_fill,
        on_error=request.on_error,
        metadata=request.metadata,
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
        good_for_s=request.good_for_s,
        deadline_ms=due_at_ms + int(request.good_for_s * 1000),
    )


def to_submitting(order: Order, *, valid_until_ms: int, now_ms: int) -> Order:
    """Next attempt: its client id exists from here on and must be stored before a byte leaves."""
    if order.state not in (OrderState.WAITING, OrderState.UNKNOWN):
        raise IllegalTransition(f"{order.order_id}: {order.state} cannot be submitted")
    return msgspec.structs.replace(
        order,
        state=OrderState.SUBMITTING,
        attempt=order.attempt + 1,
        submitted_at_ms=now_ms,
        valid_until_ms=valid_until_ms,
        updated_at_ms=now_ms,
        reason="",
    )


def to_waiting(order: Order, why: str, *, now_ms: int) -> Order:
    """The current attempt was certainly never placed; its client id is spent, the next attempt gets a new one."""
    if order.state not in (OrderState.SUBMITTING, OrderState.UNKNOWN) or order.venue_order_id:
        raise IllegalTransition(f"{order.order_id}: {order.state} cannot go back to waiting")
    return msgspec.structs.replace(order, state=OrderState.WAITING, reason=why[:MAX_TEXT], updated_at_ms=now_ms)


def to_unknown(order: Order, why: str, *, now_ms: int) -> Order:
    """No answer, or no usable one. A terminal order stays what it is: something better than silence ended it."""
    if order.state.terminal or order.state is OrderState.UNKNOWN:
        return order
    if order.state is OrderState.WAITING:
        raise IllegalTransition(f"{order.order_id}: nothing was sent, so nothing is unknown")
    return msgspec.structs.replace(order, state=OrderState.UNKNOWN, reason=why[:MAX_TEXT], updated_at_ms=now_ms)


def to_rejected(order: Order, why: str, *, now_ms: int) -> Order:
    """The venue's own refusal of the attempt in flight, or ours before anything was sent."""
    if order.state not in (OrderState.WAITING, OrderState.SUBMITTING, OrderState.UNKNOWN):
        return order  # the private stream was faster and knows better
    return _ended(order, OrderState.REJECTED, why, now_ms)


def to_expired(order: Order, why: str, *, now_ms: int) -> Order:
    """Never sent before its deadline, or proved never placed."""
    if order.state not in (OrderState.WAITING, OrderState.UNKNOWN):
        raise IllegalTransition(f"{order.order_id}: {order.state} cannot expire here; only the venue may end it")
    return _ended(order, OrderState.EXPIRED, why, now_ms)


def cancelled_unsent(order: Order, *, now_ms: int) -> Order:
    """A cancel that came before anything was sent."""
    if order.state is not OrderState.WAITING:
        raise IllegalTransition(f"{order.order_id}: {order.state} was sent; only the venue may cancel it")
    return _ended(order, OrderState.CANCELLED, order.cancel_reason or "cancelled before it was sent", now_ms)


def cancelled_never_placed(order: Order, *, now_ms: int) -> Order:
    """A cancel was wanted and the order is proved never placed: there is nothing left to cancel."""
    if order.state is not OrderState.UNKNOWN:
        raise IllegalTransition(f"{order.order_id}: {order.state} is not proved absent")
    return _ended(order, OrderState.CANCELLED, "cancelled; proved never placed", now_ms)


def want_cancel(order: Order, why: str = "", *, now_ms: int) -> Order:
    if order.state.terminal:
        raise IllegalTransition(f"{order.order_id}: already {order.state}")
    return msgspec.structs.replace(
        order, cancel=CancelState.REQUESTED, cancel_reason=why[:MAX_TEXT], updated_at_ms=now_ms
    )


def want_amend(order: Order, amend: Amend, *, now_ms: int) -> Order:
    if order.state is not OrderState.OPEN or order.amend is not None:
        raise IllegalTransition(f"{order.order_id}: only an open order without a pending amend can be amended")
    return msgspec.structs.replace(order, amend=amend, updated_at_ms=now_ms)


def amend_unsettled(order: Order, *, now_ms: int) -> Order:
    if order.amend is None or order.state.terminal:
        return order
    return msgspec.structs.replace(
        order, amend=msgspec.structs.replace(order.amend, unsettled=True), updated_at_ms=now_ms
    )


def amend_settled(order: Order, *, now_ms: int) -> Order:
    """The venue refused the amend, or the order was read again: whatever it is now is in the report."""
    if order.amend is None:
        return order
    return msgspec.structs.replace(order, amend=None, updated_at_ms=now_ms)


def _ended(order: Order, state: OrderState, why: str, now_ms: int) -> Order:
    return msgspec.structs.replace(
        order, state=state, reason=why[:MAX_TEXT], review="", cancel=CancelState.NONE, amend=None, updated_at_ms=now_ms
    )
