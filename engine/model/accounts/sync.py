"""What a synchronisation with a venue found: results as values, discrepancies as records of their own."""

from decimal import Decimal
from enum import StrEnum

import msgspec

from engine.model.money import ZERO


class SyncKind(StrEnum):
    NOOP = "noop"
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"


class SyncMode(StrEnum):
    """What follows when an account is out of step beyond its tolerance: nothing but words, a refusal to whoever asked, a shut gate."""

    RAISE = "raise"
    WARN = "warn"
    HALT = "halt"


class SyncResult(msgspec.Struct, frozen=True, kw_only=True):
    """One currency compared. Amounts in that currency.

    `broker_available`: free at the venue plus what our own open orders hold, less what it does not know of yet, so that an
    order of ours is no loss. `delta`: what money from outside made of it, `kind` says which way. `within_tolerance` False: the
    balance is not what was there before with every line of the venue's statement, or money left that was not allowed to;
    `difference` is what nothing explains.
    """

    market: str  # the account's full name, or the portfolio's market
    currency: str
    kind: SyncKind = SyncKind.NOOP
    delta: Decimal = ZERO
    broker_available: Decimal = ZERO
    previous_unallocated: Decimal = ZERO
    new_unallocated: Decimal = ZERO
    within_tolerance: bool = True
    reserved_for_pending_orders: Decimal = ZERO
    difference: Decimal = ZERO


class DiscrepancyKind(StrEnum):
    ORDER_MISSING = "order.missing"  # live as far as its venue ever said, and the venue does not know it any more
    ORDER_EXTERNAL = "order.external"  # live at the venue and placed by nobody here
    FILL_EXTERNAL = "fill.external"  # a trade of an order that is not ours
    FILL_MISSED = "fill.missed"  # the private stream never told it, a pass found it
    FILL_INFERRED = "fill.inferred"  # a position moved, and the venue cannot say by which trade
    POSITION = "position"  # the venue's position is not what its trades make
    BALANCE = "balance"  # a balance moved by what its statement does not explain
    WITHDRAWAL = "withdrawal"  # money left that was not allowed to


class Discrepancy(msgspec.Struct, frozen=True, kw_only=True):
    """One difference between the node and its venue, told once: `discrepancy_id` is made of what differs.

    It stays up for review until a person closes it, or, where it settles by itself, `settled_at_ms` says when it was gone.
    """

    discrepancy_id: str
    account: str
    kind: DiscrepancyKind
    subject: str  # instrument, currency, order or trade id
    expected: str
    got: str
    action: str  # what the node did about it, for people
    review: bool = False  # a person should look
    found_at_ms: int
    settled_at_ms: int | None = None
    note: str = ""

    @property
    def open(self) -> bool:
        """Whether a person should still look."""
        return self.review and self.settled_at_ms is None


class SyncReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one pass over an account found. `error` empty: it was whole. `discrepancies`: those that are new.

    `unchecked`: why balances could not be compared with the venue's statement, which the rest does not depend on. `mode`: what
    is to follow when they differ.
    """

    account: str
    started_at_ms: int
    ended_at_ms: int
    results: tuple[SyncResult, ...] = ()
    discrepancies: tuple[Discrepancy, ...] = ()
    error: str = ""
    unchecked: str = ""
    mode: SyncMode = SyncMode.WARN

    @property
    def whole(self) -> bool:
        return not self.error

    @property
    def within_tolerance(self) -> bool:
        return all(result.within_tolerance for result in self.results)
