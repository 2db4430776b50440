"""Whether a new pair is of the account that was traded until now.

A venue does not say whose a key is in a way that all of them share, and a pair of another account (a sub-account's, a
colleague's) is accepted like any other: with it every order would seem to be gone and every position closed. So what the pair shows
is held against what is known here.
"""

from decimal import Decimal

import msgspec


class Sight(msgspec.Struct, frozen=True):
    """What is seen of an account: client ids of live orders, positions with their size, cash by currency."""

    orders: frozenset[str]
    positions: frozenset[tuple[str, Decimal]]
    cash: dict[str, Decimal]

    @property
    def moves(self) -> bool:
        """Whether there is anything that can change by trading."""
        return bool(self.orders or self.positions)


def unlike(known: Sight, shown: Sight) -> str:
    """Why what is shown cannot be the account that is known; empty when it can be. One live order or position in common is proof;
    an account without either has cash that does not move."""
    if known.orders & shown.orders or known.positions & shown.positions:
        return ""
    if known.moves:
        return (
            f"it shows none of the {len(known.orders)} live orders and {len(known.positions)} positions of this account"
        )
    if shown.positions:
        return f"it shows {len(shown.positions)} positions, and this account has none"
    ours, theirs = _some(known.cash), _some(shown.cash)
    if ours and not ours.items() & theirs.items():
        return "it shows other balances than this account has"
    return ""


def _some(cash: dict[str, Decimal]) -> dict[str, Decimal]:
    return {currency: amount for currency, amount in cash.items() if amount}
