"""What an order queue works with: its seams, and where a drill may kill it."""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from actors.credentials import HeldKeys
from actors.orders.figures import QueueFigures
from actors.orders.settings import OrdersSettings
from engine.kernel import Ref
from engine.model import Instrument, Order, ProofRules, VenueState
from engine.store import Store

#: Where a crash drill may kill the process; every one of them is covered by the crash test.
POINTS = (
    "accept.decided",
    "accept.durable",
    "submit.decided",
    "submit.durable",
    "submit.answered",
    "cancel.durable",
    "cancel.answered",
    "amend.durable",
    "amend.answered",
    "fill.decided",
    "fill.durable",
    "answer.durable",
    "inquiry.answered",
    "inquiry.proved",
    "linked.decided",
    "linked.durable",
    "set.durable",
    "set.answered",
    "set.back",
    "release.decided",
    "release.durable",
    "trigger.durable",
    "refused.retry",
    "review.durable",
    "resolve.durable",
)


class OrderNumbers:
    """Order ids of one node: its node part and a number that grows. Shared by all queues of the process."""

    def __init__(self, node_part: str, last_number: int) -> None:
        self._node_part = node_part
        self._last = last_number

    def next_id(self) -> str:
        self._last += 1
        return f"{self._node_part}-{self._last}"


class Ways(Protocol):
    """What a venue can keep by itself (`engine.venues.base.Venue`): why not, in a few words, and nothing when it can."""

    def why_not_native(self, order: Order, instrument: Instrument) -> str: ...
    def why_not_linked(self, orders: Sequence[Order], instruments: Sequence[Instrument]) -> str: ...


class NoWays:
    """Of a venue that keeps nothing."""

    def why_not_native(self, order: Order, instrument: Instrument) -> str:
        return "the venue follows no prices"

    def why_not_linked(self, orders: Sequence[Order], instruments: Sequence[Instrument]) -> str:
        return "the venue links no orders"


class OrdersDesk(msgspec.Struct, frozen=True, kw_only=True):
    """What a queue works with. It outlives incarnations."""

    account: str
    venue: VenueState
    store: Store
    numbers: OrderNumbers
    settings: OrdersSettings
    proof: ProofRules
    session: Ref
    recorder: Ref
    notifier: Ref
    account_sync: Ref
    triggers: Ref
    execution: Ref
    owner_of: Callable[[str], Ref | None]  # strategy name → whom to tell
    ways: Ways = msgspec.field(default_factory=NoWays)
    point: Callable[[str], None] = lambda _label: None
    figures: QueueFigures = msgspec.field(default_factory=QueueFigures)
    keys: HeldKeys | None = None  # the account's pair, whose rights are read in place
