"""Plans: a large or patient order worked as smaller ones, and all that is remembered of the work.

A plan has at most one order at the venue at any time, its *child*, and asks for the next one only once the last is over by the
venue's own word. So what its children fill can never exceed its amount. A child is an intent first: its number is stored before
it is asked for, and its request key is made of that number, so asking twice for one number is one order.

What happens next is decided in `engine.model.planning`; here is what a plan is.
"""

from decimal import Decimal
from enum import StrEnum

import msgspec

from engine.model.errors import ModelError
from engine.model.instruments import Instrument
from engine.model.money import ZERO, plain
from engine.model.requests import OrderRequest
from engine.model.terms import OrderType, TimeInForce

MAX_SLICES = 500
MAX_STEPS = 200
MAX_CHILDREN = 1000  # of one plan over its whole life
MAX_KEPT = 100  # ids and rests kept in the plan itself; every child is found by its request key too
MAX_SECONDS = 7 * 86_400.0


class ExecutionStyle(StrEnum):
    """How an order is worked."""

    IMMEDIATE = "immediate"  # an ordinary order, no plan
    PROGRESSIVE = "progressive"  # rest, and move towards the market step by step
    TWAP = "twap"  # slices spread over time


class OnEnd(StrEnum):
    """What becomes of the rest when a plan is at its end."""

    CANCEL = "cancel"
    CROSS = "cross"  # take what the market has, within the order's own price


class Progressive(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rest `distance_ticks` behind the best price of the own side; every `step_s` move towards the other side, `max_steps` times.

    A step is `step_ticks`, or `step_fraction` of the way to the other side's best price, and one tick at least. The order's
    price, if it has one, is never passed. Where distance and pace are left open they come from what was learned of earlier
    executions, or from the account's settings while that is too little.
    """

    distance_ticks: int | None = None
    step_s: float | None = None
    step_ticks: int | None = None
    step_fraction: Decimal = Decimal("0.5")
    max_steps: int = 5
    on_end: OnEnd = OnEnd.CANCEL

    def check(self) -> None:
        if self.distance_ticks is not None:
            _within("distance_ticks", self.distance_ticks, 0, 10_000)
        if self.step_s is not None:
            _within("step_s", self.step_s, 0.05, 86_400)
        if self.step_ticks is not None:
            _within("step_ticks", self.step_ticks, 1, 10_000)
        _within("step_fraction", float(self.step_fraction), 0.01, 1)
        _within("max_steps", self.max_steps, 0, MAX_STEPS)


class Twap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Equal slices every `interval_s` for `duration_s`, each moved in time by up to `jitter` of the interval.

    What slices did not fill is added to later ones, at most `catch_up` of a slice to each: a plan that fell behind, by a stop
    of the node for one, does not catch up at once. What is left after `duration_s` is worked on as long again at most.
    `passive` slices rest at the best price of the own side; others take, or rest at the order's price.
    """

    duration_s: float
    interval_s: float
    jitter: float = 0.0
    catch_up: Decimal = Decimal(1)
    passive: bool = False
    on_end: OnEnd = OnEnd.CANCEL

    def check(self) -> None:
        _within("duration_s", self.duration_s, 0.1, MAX_SECONDS / 2)
        _within("interval_s", self.interval_s, 0.1, self.duration_s)
        _within("jitter", self.jitter, 0, 0.5)
        _within("catch_up", float(self.catch_up), 0, 100)
        _within("duration_s / interval_s", self.duration_s / self.interval_s, 1, MAX_SLICES)


class ExecutionRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole order, and how it is to be worked. `order.price` of a limit order is the price never to be passed."""

    order: OrderRequest
    style: ExecutionStyle = ExecutionStyle.IMMEDIATE
    progressive: Progressive | None = None
    twap: Twap | None = None

    def check(self) -> None:
        """Raise `ModelError` for the first rule the request breaks that needs no knowledge of the instrument."""
        self.order.check()
        for style, parameters in ((ExecutionStyle.PROGRESSIVE, self.progressive), (ExecutionStyle.TWAP, self.twap)):
            if parameters is not None and self.style is not style:
                raise ModelError(style, f"none for the style {self.style}", "parameters")
        if self.style is ExecutionStyle.IMMEDIATE:
            return
        _check_workable(self.order)
        if self.style is ExecutionStyle.TWAP and self.twap is None:
            raise ModelError("twap", "duration_s and interval_s", "none")
        for parameters in (self.progressive, self.twap):
            if parameters is not None:
                parameters.check()
        if self.order.post_only and self.on_end is OnEnd.CROSS:
            raise ModelError("on_end", "cancel for an order that may only rest", self.on_end)

    @property
    def pacing(self) -> Progressive:
        """The parameters of a progressive order, the usual ones where none were given."""
        return self.progressive or Progressive()

    @property
    def on_end(self) -> OnEnd:
        return self.twap.on_end if self.twap else self.pacing.on_end


def _check_workable(order: OrderRequest) -> None:
    """What an order may ask for that is worked in pieces: the rest would mean something else for each piece."""
    if order.order_type not in (OrderType.LIMIT, OrderType.MARKET):
        raise ModelError("order_type", "limit or market for an order that is worked", order.order_type)
    if order.time_in_force is not TimeInForce.GTC:
        raise ModelError("time_in_force", "gtc for an order that is worked", order.time_in_force)
    if order.plan:
        raise ModelError("plan", "none for an order that is worked", order.plan)
    for field in ("conditions", "any_of", "trail", "auto_cancel_s", "partial_fill", "on_error"):
        if getattr(order, field):
            raise ModelError(field, "none for an order that is worked", "one")
    _within("delay_s", order.delay_s, 0, MAX_SECONDS)
    if order.expires_after_s is not None:
        _within("expires_after_s", order.expires_after_s, 0.1, MAX_SECONDS)


def _within(field: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # neither is NaN
        raise ModelError(field, f"{low:g} to {high:g}", f"{value:g}")


class PlanState(StrEnum):
    WORKING = "working"
    DONE = "done"  # filled, all of it
    EXPIRED = "expired"  # steps or time used up, with a rest
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def terminal(self) -> bool:
        return self is not PlanState.WORKING


class Quote(msgspec.Struct, frozen=True):
    """Best prices of a fresh book."""

    bid: Decimal
    ask: Decimal

    @property
    def mid(self) -> Decimal:
        return (self.bid + self.ask) / 2


class Rest(msgspec.Struct, frozen=True, kw_only=True):
    """A price that stood for a while: what the market was then, how long it stood, what of it was filled.

    `filled_before` and `filled_after` are of the whole plan. `after` is the market when it ended, None if that was not known.
    """

    price: Decimal
    quote: Quote
    amount: Decimal
    began_ms: int
    filled_before: Decimal
    ended_ms: int = 0
    filled_after: Decimal = ZERO
    after: Quote | None = None


class ChosenBy(StrEnum):
    REQUEST = "request"
    RULES = "rules"  # of the account's settings: too little was known
    LEARNED = "learned"
    EXPLORED = "explored"  # drawn at random, to learn from


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters in force, who chose them and why. `chance` is how likely this choice was when it was made."""

    distance_ticks: int
    step_s: float
    by: ChosenBy
    why: str = ""
    chance: float = 1.0


class ChildKind(StrEnum):
    REST = "rest"
    TAKE = "take"  # takes what the market has
    LAST = "last"  # takes, and the plan is over with it


class Child(msgspec.Struct, frozen=True, kw_only=True):
    """One order of a plan. `price` is the one that is wanted now, None for a market order; `order_id` is empty until the queue
    has taken it."""

    number: int
    kind: ChildKind
    amount: Decimal
    price: Decimal | None
    order_id: str = ""
    cancelling: bool = False
    tries: int = 0  # amends to this price that did not come about


class Worked(msgspec.Struct, frozen=True):
    """What all children of a plan have filled. `taken` is the part that crossed the spread."""

    amount: Decimal = ZERO
    taken: Decimal = ZERO
    average_price: Decimal | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A request at work. `step` counts moves of a progressive order, slices of a TWAP; `ends_as` is set when only the last
    order's end is still awaited."""

    plan_id: str
    account: str
    request: ExecutionRequest
    state: PlanState = PlanState.WORKING
    worked: Worked = Worked()
    pace: Pace | None = None
    slices: int = 0
    step: int = 0
    price: Decimal | None = None  # where the next child goes
    children: int = 0  # numbers given out
    child: Child | None = None
    last: bool = False  # what is left is to be taken at once
    order_ids: tuple[str, ...] = ()  # the newest
    refusals: int = 0
    rests: tuple[Rest, ...] = ()  # the newest
    tick: Decimal | None = None  # of the prices around the first child
    maker_fee: Decimal = ZERO  # as a fraction, when it was accepted
    taker_fee: Decimal = ZERO
    arrival: Quote | None = None  # the market when the first child was placed
    departure: Quote | None = None  # and when the plan ended
    ends_as: PlanState | None = None
    reason: str = ""
    started_at_ms: int
    updated_at_ms: int
    next_at_ms: int  # nothing is due before, but for the end of a child
    expires_at_ms: int

    @property
    def amount(self) -> Decimal:
        return self.request.order.amount

    @property
    def remaining(self) -> Decimal:
        return self.amount - self.worked.amount

    @property
    def strategy(self) -> str:
        return self.request.order.strategy

    @property
    def request_key(self) -> str:
        return self.request.order.request_key


def child_key(plan_id: str, number: int) -> str:
    """The request key of a plan's child: the same number twice is one order."""
    return f"{plan_id}/{number}"


def new_plan(
    request: ExecutionRequest,
    *,
    plan_id: str,
    account: str,
    now_ms: int,
    pace: Pace | None,
    instrument: Instrument,
    max_life_s: float,
) -> Plan:
    """The stored form of an accepted request."""
    order, twap = request.order, request.twap
    smallest = max(instrument.min_amount, instrument.lot_size)
    if order.amount < smallest:
        raise ModelError("amount", f"at least {plain(smallest)}", plain(order.amount))
    begins_ms = now_ms + round(order.delay_s * 1000)
    life_s = max_life_s if twap is None else twap.duration_s * 2
    life_s = order.expires_after_s if order.expires_after_s is not None else life_s + order.delay_s
    slices = min(round(twap.duration_s / twap.interval_s), int(order.amount / smallest)) if twap else 0
    return Plan(
        plan_id=plan_id,
        account=account,
        request=request,
        pace=pace,
        slices=slices,
        maker_fee=instrument.maker_fee,
        taker_fee=instrument.taker_fee,
        started_at_ms=begins_ms,
        updated_at_ms=now_ms,
        next_at_ms=begins_ms,
        expires_at_ms=now_ms + round(life_s * 1000),
    )
