"""An account and its order queue keep each other in step."""

from decimal import Decimal
from typing import ClassVar

import msgspec

from engine.kernel import (
    Message,
    Overflow,
    Request,
)
from engine.model import (
    Balance,
    Fill,
    OrderReport,
    Position,
    SyncReport,
)


class VenueWord(Message, frozen=True):
    """What the private stream said of orders and fills."""

    overflow: ClassVar[Overflow] = Overflow.FAIL
    reports: tuple[OrderReport, ...] = ()
    fills: tuple[Fill, ...] = ()


class Told(msgspec.Struct, frozen=True):
    """The venue's times between which the private stream was complete, so that it should have told of every fill by now. Its ends
    leave out what may still be on its way. A fill of another time that only a pass brings is late, and no wonder.
    """

    since_ms: int
    until_ms: int


class Reconcile(Request[bool], frozen=True):
    """A whole pass over the account succeeded. True once everything in it is on disk.

    `reports` are the orders the venue holds open, asked after `asked_at_ms` (our clock); `listening`: the private
    stream was up all the while, so nothing can have fallen between, and orders may be sent.

    `positions`, where `positions_known`, are all the venue holds; `venue_ms`: its time when the pass began, before any question.
    """

    reports: tuple[OrderReport, ...]
    fills: tuple[Fill, ...]
    asked_at_ms: int
    listening: bool
    told: Told | None = None
    positions: tuple[Position, ...] = ()
    positions_known: bool = False
    venue_ms: int = 0


class HearFills(Request[bool], frozen=True):
    """Fills a pass found, before it is complete. True once they are on disk."""

    fills: tuple[Fill, ...]
    told: Told | None = None


class Unsynced(Message, frozen=True):
    """The private stream is down: what the venue does meanwhile is not heard."""

    overflow: ClassVar[Overflow] = Overflow.FAIL
    reason: str


class SyncSoon(Message, frozen=True):
    """Something was missed or is missing: reconcile when convenient."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE
    reason: str

    def conflation_key(self) -> str:
        return "sync"


class SyncNow(Request[SyncReport], frozen=True):
    """Reconcile with the venue now; what the pass found, or why it failed, once all of it is on disk.

    `holdings_only`: for whoever needs orders, positions and balances as they are now, and cannot wait for the venue's statement to
    explain them.
    """

    holdings_only: bool = False


class GetSyncReport(Request[SyncReport | None], frozen=True):
    """What the last pass found; None before there was one."""


class Holdings(msgspec.Struct, frozen=True):
    """Positions and balances as last reported by the venue.

    `looked_ms`: the venue's time when it was last asked for all of them, 0 before that. `day_pnl` by currency: what equity
    gained since the UTC day `day` (days since 1970) began, without what came from outside. `in_step`: the private stream is up,
    and a pass since it is was whole, so this is so now.
    """

    positions: tuple[Position, ...]
    balances: tuple[Balance, ...]
    looked_ms: int = 0
    day: int = 0
    day_pnl: dict[str, Decimal] = {}
    in_step: bool = False


class HoldingsChanged(Message, frozen=True):
    """What the account holds now; told whenever any of it moved, to those who judge orders by it."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE
    holdings: Holdings

    def conflation_key(self) -> str:
        return "holdings"


class GetHoldings(Request[Holdings], frozen=True):
    """What the account holds."""
