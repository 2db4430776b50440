"""What an order queue works with: its settings, its seams, where a drill may kill it."""

from collections.abc import Callable
from typing import Annotated

import msgspec

from engine.kernel import Ref
from engine.model import (
    LinkSettings,
    OrderLimits,
    ProofRules,
    VenueState,
)
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
    "release.decided",
    "release.durable",
)


Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]


class OrdersSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one account's queue behaves.

    `ttl_s`: the venue must not start an attempt later than this after it was made.
    """

    limits: OrderLimits = OrderLimits()
    links: LinkSettings = LinkSettings()
    ttl_s: Seconds = 5.0
    request_timeout_s: Seconds = 8.0
    max_in_flight: Annotated[int, msgspec.Meta(ge=1, le=256)] = 16
    tick_s: Seconds = 0.25
    retry_s: Seconds = 1.0  # between attempts that were certainly not executed, and between resent cancels
    ask_s: Seconds = 2.0  # between queries for an order whose fate is unknown
    proof: ProofRules | None = None  # None: the venue's own


class OrderNumbers:
    """Order ids of one node: its node part and a number that grows. Shared by all queues of the process."""

    def __init__(self, node_part: str, last_number: int) -> None:
        self._node_part = node_part
        self._last = last_number

    def next_id(self) -> str:
        self._last += 1
        return f"{self._node_part}-{self._last}"


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
    point: Callable[[str], None] = lambda _label: None
