"""Differences between the node and its venue: each told once, ever.

Its id is made of what differs, so whoever finds the same again – the next pass, the next incarnation, the next start – finds
it in the table and says nothing. A difference and the notice of it belong in one commit: one is not on disk without the other.
What was decided and is not on disk yet, the finder has to remember by itself.
"""

import hashlib

import msgspec

from engine.model import Discrepancy, DiscrepancyKind, Notice, Severity
from engine.store import Put, Store

__all__ = ["discrepancy_id", "found", "notice_of", "put_of", "settled"]

ID_BYTES = 8

SEVERITIES = {
    DiscrepancyKind.ORDER_MISSING: Severity.ERROR,
    DiscrepancyKind.ORDER_EXTERNAL: Severity.WARNING,
    DiscrepancyKind.FILL_EXTERNAL: Severity.WARNING,
    DiscrepancyKind.FILL_MISSED: Severity.WARNING,
    DiscrepancyKind.FILL_INFERRED: Severity.ERROR,
    DiscrepancyKind.POSITION: Severity.ERROR,
    DiscrepancyKind.BALANCE: Severity.ERROR,
    DiscrepancyKind.WITHDRAWAL: Severity.EMERGENCY,
}


def discrepancy_id(account: str, kind: DiscrepancyKind, *parts: str) -> str:
    """The same for the same difference, and short enough to be typed: `order.external-1f0c…`."""
    named = "|".join((account, kind, *parts)).encode()
    return f"{kind}-{hashlib.blake2b(named, digest_size=ID_BYTES).hexdigest()}"


def found(store: Store, discrepancy: Discrepancy) -> Discrepancy | None:
    """`discrepancy` if it is news, None if the store has it, settled or not."""
    known = store.table("discrepancies").get(discrepancy.discrepancy_id)
    return discrepancy if known is None else None


def settled(discrepancy: Discrepancy, *, now_ms: int, note: str) -> Discrepancy:
    """It is gone, or a person has seen to it: nobody has to look any more."""
    return msgspec.structs.replace(discrepancy, settled_at_ms=now_ms, note=note)


def put_of(discrepancy: Discrepancy) -> Put:
    return Put("discrepancies", discrepancy.discrepancy_id, discrepancy)


def notice_of(discrepancy: Discrepancy, *, actor: str, order_id: str = "") -> Notice:
    """What people hear of it. Its id is the difference's own, so that it is one notice however often it is made."""
    text = f"{discrepancy.account} {discrepancy.subject}: expected {discrepancy.expected}, got {discrepancy.got}"
    return Notice(
        notice_id=discrepancy.discrepancy_id,
        at_ms=discrepancy.found_at_ms,
        severity=SEVERITIES[discrepancy.kind],
        kind=f"sync.{discrepancy.kind}",
        text=f"{text}; {discrepancy.action}" if discrepancy.action else text,
        actor=actor,
        order_id=order_id,
    )
