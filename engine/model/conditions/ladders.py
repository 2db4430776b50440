"""Thresholds of one figure in order, and which of them a move passes."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence
from math import inf

from engine.model.conditions.check import Number
from engine.model.conditions.terms import Operator

_FEW = 64  # new thresholds that are inserted one by one; more are sorted in together


class Waiter:
    """`lacking` counts terms that do not hold, and groups of which none does."""

    __slots__ = ("clauses", "holding", "key", "lacking")

    def __init__(self, key: str, groups: int) -> None:
        self.key = key
        self.holding = [0] * groups
        self.lacking = groups
        self.clauses: list[Clause] = []


class Clause:
    """One term of one waiter, standing at its threshold."""

    __slots__ = ("group", "position", "waiter")

    def __init__(self, waiter: Waiter, group: int, position: int) -> None:
        self.waiter = waiter
        self.group = group
        self.position = position

    def hold(self) -> None:
        waiter, group = self.waiter, self.group
        if group >= 0:
            waiter.holding[group] += 1
            if waiter.holding[group] > 1:
                return
        waiter.lacking -= 1

    def fail(self) -> None:
        waiter, group = self.waiter, self.group
        if group >= 0:
            waiter.holding[group] -= 1
            if waiter.holding[group] > 0:
                return
        waiter.lacking += 1


class Ladder:
    """The clauses of one figure and operator by threshold. `_sorted` has each threshold once, but for those in `_new`."""

    __slots__ = ("_new", "_rungs", "_sorted", "bisect")

    def __init__(self, operator: Operator) -> None:
        self._rungs: dict[Number, dict[Clause, None]] = {}
        self._sorted: list[Number] = []
        self._new: list[Number] = []
        closed_below = operator in (Operator.ABOVE, Operator.AT_MOST, Operator.CROSSES_ABOVE)
        self.bisect = bisect_left if closed_below else bisect_right

    def __bool__(self) -> bool:
        return bool(self._rungs)

    def add(self, threshold: Number, clause: Clause) -> None:
        rung = self._rungs.get(threshold)
        if rung is None:
            rung = self._rungs[threshold] = {}
            self._new.append(threshold)
        rung[clause] = None

    def remove(self, threshold: Number, clause: Clause) -> None:
        rung = self._rungs[threshold]
        del rung[clause]
        if not rung:
            self._settle()
            del self._rungs[threshold]
            del self._sorted[bisect_left(self._sorted, threshold)]

    def at(self, value: Number) -> Iterable[Clause]:
        return self._rungs.get(value, ())

    def between(self, low: Number, high: Number) -> Sequence[Clause]:
        """Those that change sides when the figure goes from `low` to `high` or back: their thresholds are in [low, high)
        for what a value equal to the threshold is still below of (`>`, `<=`), in (low, high] for the others.
        """
        if self._new:
            self._settle()
        first = self.bisect(self._sorted, low)
        last = self.bisect(self._sorted, high, first)
        if first == last:
            return ()
        return [clause for threshold in self._sorted[first:last] for clause in self._rungs[threshold]]

    def after(self, value: Number) -> Number | None:
        """The first threshold at which a figure that grows from `value` changes something."""
        self._settle()
        at = self.bisect(self._sorted, value)
        return self._sorted[at] if at < len(self._sorted) else None

    def _settle(self) -> None:
        if len(self._new) > _FEW:
            self._sorted += self._new
            self._sorted.sort()
        else:
            for threshold in self._new:
                insort(self._sorted, threshold)
        self._new.clear()


class Board:
    """One figure: its last value, None before the first, and its ladders."""

    __slots__ = ("clauses", "crosses_above", "crosses_below", "equal", "ladders", "lower", "upper", "value")

    def __init__(self) -> None:
        self.value: Number | None = None
        self.clauses = 0
        self.ladders = {operator: Ladder(operator) for operator in Operator}
        self.upper = (self.ladders[Operator.ABOVE], self.ladders[Operator.AT_LEAST])
        self.lower = (self.ladders[Operator.BELOW], self.ladders[Operator.AT_MOST])
        self.equal = self.ladders[Operator.EQUAL]
        self.crosses_above = self.ladders[Operator.CROSSES_ABOVE]
        self.crosses_below = self.ladders[Operator.CROSSES_BELOW]

    def move(self, new: Number, begin: list[Clause], end: list[Clause], events: list[Clause]) -> None:
        """Go to `new`, and say which clauses begin to hold, cease to, and are crossed."""
        old, self.value = self.value, new
        if old is None:
            self._appear(new, begin)
            return
        rising = new > old
        low, high = (old, new) if rising else (new, old)
        upper, lower = (begin, end) if rising else (end, begin)
        for ladder in self.upper:
            if ladder:
                upper += ladder.between(low, high)
        for ladder in self.lower:
            if ladder:
                lower += ladder.between(low, high)
        if self.equal:
            end += self.equal.at(old)
            begin += self.equal.at(new)
        crossed = self.crosses_above if rising else self.crosses_below
        if crossed:
            events += crossed.between(low, high)

    def _appear(self, new: Number, begin: list[Clause]) -> None:
        for ladder in self.upper:
            begin += ladder.between(-inf, new)
        for ladder in self.lower:
            begin += ladder.between(new, inf)
        begin += self.equal.at(new)
