"""Reckoning with a statement: whether a balance is what was there before with every line since.

Two questions to a venue are answered at two moments. A line that was booked between them is in the one answer and not in the
other; so of the lines that are about as young as the balance any number from the start may be in it, and the balance is
explained if it is right with any of these. Everything older must be in it.

What a balance is to be is carried from one look to the next with the lines it has in it, by identity and not by time: a line
that a venue lists late is new when it comes, however old its stamp. Only where a reckoning begins the time decides, because of
what was listed before nothing is known; how many of the young lines a balance had in it, where that can not be seen in it, is
decided by the next.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import accumulate

import msgspec

from engine.model.accounts.flows import CashFlow
from engine.model.money import ZERO

MAX_YOUNG = 200  # lines about as young as a balance; more cannot be told apart in good time
MAX_DOUBTS = 50
ROUNDING = Decimal("1e-8")  # venues round every line and every balance by itself


class Reckoning(msgspec.Struct, frozen=True, kw_only=True):
    """One currency. `expected` is what the balance has to be with every line but the `young`, which came so lately that it may be
    without them; less one of `doubts`, where the last balance may have had some of these in it already.

    Lines stamped before `begun_ms` are in the balance all began with. `lines`: how many were added up since a balance was last
    right, each of which may be off by the venue's rounding.
    """

    expected: Decimal
    begun_ms: int
    lines: int = 0
    young: tuple[CashFlow, ...] = ()
    doubts: tuple[Decimal, ...] = (ZERO,)


def begun_with(balance: Decimal, lines: Iterable[CashFlow], *, young_from_ms: int) -> Reckoning:
    """A balance taken as it is, and the lines about as young as it."""
    nothing = Reckoning(expected=balance, begun_ms=young_from_ms)
    begun = with_lines(nothing, lines, young_from_ms=young_from_ms)
    sums = accumulate((line.amount for line in begun.young[:MAX_DOUBTS]), initial=ZERO)
    return msgspec.structs.replace(begun, doubts=tuple(sums))


def with_lines(before: Reckoning, new: Iterable[CashFlow], *, young_from_ms: int) -> Reckoning:
    """Lines not seen before are added. Those stamped before `young_from_ms` are in every balance read from now on."""
    lines = [*before.young, *(line for line in new if line.at_ms >= before.begun_ms)]
    lines.sort(key=lambda line: line.at_ms)  # stable: lines of one moment stay as the venue made them
    count = max(sum(line.at_ms < young_from_ms for line in lines), len(lines) - MAX_YOUNG)
    return msgspec.structs.replace(
        before,
        expected=before.expected + sum((line.amount for line in lines[:count]), ZERO),
        lines=before.lines + count,
        young=tuple(lines[count:]),
    )


def differences(reckoning: Reckoning, balance: Decimal) -> tuple[Decimal, ...]:
    """What `balance` has too much, for all that it may have in it; the most lines first."""
    sums = [*accumulate((line.amount for line in reckoning.young), initial=reckoning.expected)]
    return tuple(balance - total + doubt for total in reversed(sums) for doubt in reckoning.doubts)


def agreed(reckoning: Reckoning, balance: Decimal, tolerance: Decimal) -> Reckoning | None:
    """The reckoning from here on if `balance` is explained; else None. Where it is right with fewer lines in it and with more, which
    are lines that cancel out, those between are in doubt: the next balance decides.
    """
    allowed = tolerance + ROUNDING * (reckoning.lines + len(reckoning.young))
    right = (abs(difference) <= allowed for difference in differences(reckoning, balance))
    counts = {len(reckoning.young) - n // len(reckoning.doubts) for n, explained in enumerate(right) if explained}
    if not counts:
        return None
    fewest = min(counts)
    young = reckoning.young[fewest:]
    sums = [*accumulate((line.amount for line in young), initial=ZERO)]
    doubts = dict.fromkeys(sums[count - fewest] for count in sorted(counts)[:MAX_DOUBTS])
    return Reckoning(expected=balance, begun_ms=reckoning.begun_ms, young=young, doubts=tuple(doubts))


def common(one: Sequence[Decimal], other: Sequence[Decimal], tolerance: Decimal) -> Decimal | None:
    """A difference that two looks both show: one that trading between their questions does not explain. The smallest of several."""
    both = [amount for amount in other if any(abs(amount - before) <= tolerance for before in one)]
    return min(both, key=abs, default=None)


def admitted(reckoning: Reckoning, difference: Decimal) -> Reckoning:
    """A difference nobody can explain is what it is from here on."""
    return msgspec.structs.replace(reckoning, expected=reckoning.expected + difference)
