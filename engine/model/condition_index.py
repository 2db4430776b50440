"""Which waiting orders a move of a figure concerns, found without looking at the others.

For every figure and operator the thresholds are kept in order. When the figure moves from one value to another, exactly
the thresholds between the two change sides, so two bisections find them: a tick costs O(log n + flips), whether ten orders
wait or a hundred thousand. Each waiter counts what it still lacks; a flip changes that count by one, and nothing is ever
evaluated anew.

Comparisons are truths that flip both ways. A crossing is an event of one move: it counts while that move is judged,
together with whatever else holds, and is forgotten after. Several figures that move together (one ticker brings bid, ask
and mark) are moved together, so no waiter ever sees the new one beside the old other.

Rejected: a heap of the nearest thresholds (levels that flip back would have to be pushed again and again), a tree
(pointers; for a hundred thousand floats `bisect` and the memmove of an insertion, 10 µs, win), and evaluating every order
of an instrument at every tick (linear).
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence
from math import inf
from typing import NamedTuple

from engine.model.condition_check import Figure, Number
from engine.model.conditions import Operator

_FEW = 64  # new thresholds that are inserted one by one; more are sorted in together


class Term(NamedTuple):
    """One condition of a waiter: `group` is the number of its any-of group, -1 where all must hold."""

    figure: Figure
    operator: Operator
    threshold: Number
    group: int = -1


class Ready(NamedTuple):
    """A waiter that lacks nothing; `crossed` are the positions of those of its terms that are crossings of this move."""

    key: str
    crossed: frozenset[int] = frozenset()


def holds(operator: Operator, value: Number, threshold: Number) -> bool:
    """Whether a comparison holds; a crossing does not, it happens."""
    match operator:
        case Operator.ABOVE:
            return value > threshold
        case Operator.AT_LEAST:
            return value >= threshold
        case Operator.BELOW:
            return value < threshold
        case Operator.AT_MOST:
            return value <= threshold
        case Operator.EQUAL:
            return value == threshold
        case _:
            return False


class _Waiter:
    """`lacking` counts terms that do not hold, and groups of which none does."""

    __slots__ = ("clauses", "holding", "key", "lacking")

    def __init__(self, key: str, groups: int) -> None:
        self.key = key
        self.holding = [0] * groups
        self.lacking = groups
        self.clauses: list[_Clause] = []


class _Clause:
    """One term of one waiter, standing at its threshold."""

    __slots__ = ("group", "position", "waiter")

    def __init__(self, waiter: _Waiter, group: int, position: int) -> None:
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


class _Ladder:
    """The clauses of one figure and operator by threshold. `_sorted` has each threshold once, but for those in `_new`."""

    __slots__ = ("_new", "_rungs", "_sorted", "bisect")

    def __init__(self, operator: Operator) -> None:
        self._rungs: dict[Number, dict[_Clause, None]] = {}
        self._sorted: list[Number] = []
        self._new: list[Number] = []
        closed_below = operator in (Operator.ABOVE, Operator.AT_MOST, Operator.CROSSES_ABOVE)
        self.bisect = bisect_left if closed_below else bisect_right

    def __bool__(self) -> bool:
        return bool(self._rungs)

    def add(self, threshold: Number, clause: _Clause) -> None:
        rung = self._rungs.get(threshold)
        if rung is None:
            rung = self._rungs[threshold] = {}
            self._new.append(threshold)
        rung[clause] = None

    def remove(self, threshold: Number, clause: _Clause) -> None:
        rung = self._rungs[threshold]
        del rung[clause]
        if not rung:
            self._settle()
            del self._rungs[threshold]
            del self._sorted[bisect_left(self._sorted, threshold)]

    def at(self, value: Number) -> Iterable[_Clause]:
        return self._rungs.get(value, ())

    def between(self, low: Number, high: Number) -> Sequence[_Clause]:
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


class _Board:
    """One figure: its last value, None before the first, and its ladders."""

    __slots__ = ("clauses", "crosses_above", "crosses_below", "equal", "ladders", "lower", "upper", "value")

    def __init__(self) -> None:
        self.value: Number | None = None
        self.clauses = 0
        self.ladders = {operator: _Ladder(operator) for operator in Operator}
        self.upper = (self.ladders[Operator.ABOVE], self.ladders[Operator.AT_LEAST])
        self.lower = (self.ladders[Operator.BELOW], self.ladders[Operator.AT_MOST])
        self.equal = self.ladders[Operator.EQUAL]
        self.crosses_above = self.ladders[Operator.CROSSES_ABOVE]
        self.crosses_below = self.ladders[Operator.CROSSES_BELOW]

    def move(self, new: Number, begin: list[_Clause], end: list[_Clause], events: list[_Clause]) -> None:
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

    def _appear(self, new: Number, begin: list[_Clause]) -> None:
        for ladder in self.upper:
            begin += ladder.between(-inf, new)
        for ladder in self.lower:
            begin += ladder.between(new, inf)
        begin += self.equal.at(new)


class ConditionIndex:
    """All waiters of one watcher. Values given to it must have been fresh: it knows nothing of time."""

    def __init__(self) -> None:
        self._boards: dict[Figure, _Board] = {}
        self._waiters: dict[str, tuple[_Waiter, tuple[Term, ...]]] = {}

    def __len__(self) -> int:
        return len(self._waiters)

    def __contains__(self, key: str) -> bool:
        return key in self._waiters

    def value(self, figure: Figure) -> Number | None:
        """What the figure was last moved to."""
        board = self._boards.get(figure)
        return board.value if board else None

    def terms(self, key: str) -> tuple[Term, ...]:
        return self._waiters[key][1]

    def lacks_nothing(self, key: str) -> bool:
        """Whether all of a waiter holds by the last values, crossings apart."""
        return key in self._waiters and not self._waiters[key][0].lacking

    def add(self, key: str, terms: Sequence[Term]) -> bool:
        """Let `key` wait; True when all of it holds already. One that waits, or that has no terms, is a ValueError.

        Figures nobody looked at before have no value until they are moved.
        """
        if key in self._waiters or not terms:
            raise ValueError(f"{key}: expected a new waiter with terms")
        waiter = _Waiter(key, max(term.group for term in terms) + 1)
        for position, term in enumerate(terms):
            board = self._boards.get(term.figure)
            if board is None:
                board = self._boards[term.figure] = _Board()
            clause = _Clause(waiter, term.group, position)
            waiter.clauses.append(clause)
            waiter.lacking += term.group < 0
            board.clauses += 1
            board.ladders[term.operator].add(term.threshold, clause)
            if board.value is not None and holds(term.operator, board.value, term.threshold):
                clause.hold()
        self._waiters[key] = waiter, tuple(terms)
        return not waiter.lacking

    def remove(self, key: str) -> tuple[Figure, ...]:
        """Forget a waiter, if there is one; those of its figures nobody looks at any more."""
        waiter, terms = self._waiters.pop(key, (None, ()))
        idle: list[Figure] = []
        for clause, term in zip(waiter.clauses if waiter else (), terms, strict=True):
            board = self._boards[term.figure]
            board.ladders[term.operator].remove(term.threshold, clause)
            board.clauses -= 1
            if not board.clauses:
                del self._boards[term.figure]
                idle.append(term.figure)
        return tuple(idle)

    def move(self, moves: Iterable[tuple[Figure, Number]]) -> Sequence[Ready]:
        """Figures moved, together: the waiters of theirs that lack nothing now and did before, or just for this move.

        A waiter that goes on lacking nothing is not told of again, until one of its terms begins to hold anew.
        """
        begin: list[_Clause] = []
        end: list[_Clause] = []
        events: list[_Clause] = []
        for figure, new in moves:
            board = self._boards.get(figure)
            if board is not None and board.value != new:
                board.move(new, begin, end, events)
        if not (begin or end or events):
            return ()
        return self._judge(begin, end, events)

    def _judge(self, begin: list[_Clause], end: list[_Clause], events: list[_Clause]) -> Sequence[Ready]:
        for clause in end:
            clause.fail()
        for clause in begin:
            clause.hold()
        crossed: dict[_Waiter, set[int]] = {}
        for clause in events:
            clause.hold()
            crossed.setdefault(clause.waiter, set()).add(clause.position)
        touched = dict.fromkeys(clause.waiter for clause in (*begin, *events))
        ready = [Ready(waiter.key, frozenset(crossed.get(waiter, ()))) for waiter in touched if not waiter.lacking]
        for clause in events:
            clause.fail()
        return ready

    def next_change(self, figure: Figure) -> Number | None:
        """The nearest threshold of a growing figure at or after which something changes, None when there is none."""
        board = self._boards.get(figure)
        if board is None or board.value is None:
            return None
        ladders = (*board.upper, *board.lower)
        found = [threshold for ladder in ladders if (threshold := ladder.after(board.value)) is not None]
        return min(found, default=None)
