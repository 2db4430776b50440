"""What a pair may do, and what of it concerns people."""

import msgspec

from engine.model import Severity
from engine.venues.base import KeyPermissions


class Finding(msgspec.Struct, frozen=True):
    """`kind` is the notice's."""

    kind: str
    severity: Severity
    text: str


NO_READ = Finding("keys.no_read", Severity.ERROR, "the key pair may not read the account: nothing of it is known")
NO_TRADE = Finding("keys.no_trade", Severity.ERROR, "the key pair may not trade: its orders are refused")
WITHDRAW = Finding(
    "keys.withdraw", Severity.WARNING, "the key pair may withdraw: a node needs no such right, take it away"
)


def findings(permissions: KeyPermissions | None, *, play_money: bool = False) -> tuple[Finding, ...]:
    """What is wrong with these; nothing with what the venue did not say."""
    if permissions is None:
        return ()
    wrong = (
        (NO_READ, permissions.read is False),
        (NO_TRADE, permissions.trade is False),
        (WITHDRAW, permissions.withdraw is True and not play_money),
    )
    return tuple(finding for finding, found in wrong if found)
