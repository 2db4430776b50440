"""Between an order queue and the actor that watches markets for it."""

from decimal import Decimal
from typing import ClassVar

import msgspec

from engine.kernel import Message, Overflow, Request
from engine.model import Condition, Order, Trailing


class Arm(Message, frozen=True):
    """Watch for this order's conditions, or its trail. Repeating it changes nothing."""

    overflow: ClassVar[Overflow] = Overflow.FAIL
    order: Order


class Disarm(Message, frozen=True):
    """The order does not wait for anything any more."""

    overflow: ClassVar[Overflow] = Overflow.FAIL
    order_id: str


class ConditionsMet(Message, frozen=True):
    """All that an order waits for held at `at_ms`, on fresh data; `evidence` is what was seen. Repeating it changes nothing."""

    overflow: ClassVar[Overflow] = Overflow.FAIL
    prompt: ClassVar[bool] = True  # from the price to the order queue without a trip through the scheduler
    order_id: str
    at_ms: int
    evidence: str


class TrailMoved(Message, frozen=True):
    """A trailing stop has a new best price, worth storing."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE
    order_id: str
    trailing: Trailing

    def conflation_key(self) -> str:
        return self.order_id


class PublishFigure(Message, frozen=True):
    """A figure of somebody's own making, for conditions of type `custom`."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE
    name: str
    value: Decimal

    def conflation_key(self) -> str:
        return self.name


class ConditionSeen(msgspec.Struct, frozen=True, kw_only=True):
    """How one condition stands. `group` is its place in `any_of`, None where all must hold.

    `seen` is the newest value however old, None when there is none; one that is stale or cannot be read (`problem` says why)
    is not met. A crossing is met in the moment it happens and at no other. `errors`: looks since the order was armed, one every
    evaluation interval, at which there was nothing to read.
    """

    condition: Condition
    group: int | None
    seen: str | None
    met: bool
    age_s: float | None
    stale: bool
    problem: str
    errors: int


class ConditionsSeen(msgspec.Struct, frozen=True, kw_only=True):
    """How an order's waiting stands: `met` once all of it held (and the order queue has not taken that in yet).

    Of a trailing stop `best` and `trigger` are the best price it has seen and the one that would hit it, None before it follows.
    """

    order_id: str
    met: bool
    conditions: tuple[ConditionSeen, ...] = ()
    best: Decimal | None = None
    trigger: Decimal | None = None


class GetConditions(Request[ConditionsSeen | None], frozen=True):
    """How the conditions of an order stand now; None for one nobody watches for."""

    order_id: str
