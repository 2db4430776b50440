"""Reckoning with a statement: whether a balance is what was there before with every line since.

Two questions to a venue are answered at two moments. A line that was booked between them is in the one answer and not in the
other; so of the lines that are about as young as the balance any number from the start may be in it, and the balance is
explained if it is right with any of these. Everything older must be in it.

What a balance is to be is carried from one look to the next with the lines it has in it, by identity and not by time: a line
that a venue lists late is new when it comes, however old its stamp. Only where a reckoning begins the time decides, because
of what was listed then nothing is known.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec

from engine.model.accounts.flows import CashFlow
from engine.model.money import ZERO

MAX_YOUNG = 1000  # lines about as young as a balance; more cannot be told apart in good time
ROUNDING = Decimal("1e-8")  # venues round every line and every balance by itself


class Reckoning(msgspec.Struct, frozen=True, kw_only=True):
    """One currency. `expected` is what the balance has to be with every line but the `young`, which came so lately that it may be without them.

    `begun_ms`: the venue's time of the balance all began with; lines up to it are in it. `lines`: how many were added up since a
    balance was last right, each of which may be off by the venue's rounding.
    """

    expected: Decimal
    begun_ms: int
    lines: int = 0
    young: tuple[CashFlow, ...] = ()


def begun_with(balance: Decimal, at_ms: int) -> Reckoning:
    """A balance taken as it is."""
    return Reckoning(expected=balance, begun_ms=at_ms)


def with_lines(before: Reckoning, new: Iterable[CashFlow], *, young_from_ms: int) -> Reckoning:
    """Lines not seen before are added. Those stamped before `young_from_ms` are in every balance read from now on."""
    lines = [*before.young, *(line for line in new if line.at_ms > before.begun_ms)]
    lines.sort(key=lambda line: line.at_ms)  # stable: lines of one moment stay as the venue made them
    old = [line for line in lines if line.at_ms < young_from_ms]
    old = lines[: max(len(old), len(lines) - MAX_YOUNG)]
    return Reckoning(
        expected=before.expected + sum((line.amount for line in old), ZERO),
        begun_ms=before.begun_ms,
        lines=before.lines + len(old),
        young=tuple(lines[len(old) :]),
    )


def differences(reckoning: Reckoning, balance: Decimal) -> tuple[Decimal, ...]:
    """What `balance` has too much, with none, one, two… of the young lines in it."""
    left = [balance - reckoning.expected]
    for line in reckoning.young:
        left.append(left[-1] - line.amount)
    return tuple(left)


def agreed(reckoning: Reckoning, balance: Decimal, tolerance: Decimal) -> Reckoning | None:
    """The reckoning from here on if `balance` is explained, with as many of the young lines as can be in it; else None."""
    found = differences(reckoning, balance)
    for count in reversed(range(len(found))):
        if abs(found[count]) <= tolerance + ROUNDING * (reckoning.lines + count):
            young = reckoning.young[count:]
            return Reckoning(expected=balance, begun_ms=reckoning.begun_ms, young=young)
    return None


def common(one: Sequence[Decimal], other: Sequence[Decimal], tolerance: Decimal) -> Decimal | None:
    """A difference that two looks both show: one that trading between their questions does not explain. The smallest of several."""
    both = [amount for amount in other if any(abs(amount - before) <= tolerance for before in one)]
    return min(both, key=abs, default=None)
