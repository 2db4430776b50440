"""Between an order queue and the actor that watches markets for it."""

from decimal import Decimal
from typing import ClassVar

from engine.kernel import Message, Overflow
from engine.model import Order, Trailing


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
