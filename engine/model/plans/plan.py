"""Plans: a large or patient order worked as smaller ones, and all that is remembered of the work.

A plan has at most one order at the venue at any time, its *child*, and asks for the next one only once the last is over by the
venue's own word. So what its children fill can never exceed its amount. A child is an intent first: its number is stored before
it is asked for, and its request key is made of that number, so asking twice for one number is one order.

What happens next is decided in `engine.model.plans.planning`; here is what a plan is.
"""

from decimal import Decimal
from enum import StrEnum

import msgspec

from engine.model.errors import ModelError
from engine.model.instruments import Instrument
from engine.model.money import ZERO, plain
from engine.model.plans.requests import ExecutionRequest

MAX_CHILDREN = 1000  # of one plan over its whole life
MAX_KEPT = 100  # ids and rests kept in the plan itself; every child is found by its request key too


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
